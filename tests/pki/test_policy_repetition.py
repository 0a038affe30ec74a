"""One live key per identity, and the same CSR again: what `ca sign` gives back, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from keystead.errors import Refused
from keystead.pki.facts import Repetition, Wishes, wishes_digest
from keystead.pki.names import HostNames, Identity
from tests.pki.makers import (
    DAY,
    SERVER,
    decide,
    facts,
    granted,
    identity,
    key,
    known_repetition,
    live,
    mend,
    recorded,
    refusals,
    request,
)


def test_an_identity_with_a_live_key_is_not_given_to_another_key() -> None:
    known = facts(live=live(recorded(key_label="alice")))
    asked = request("alice", signer=key("mallory"))
    assert refusals(asked, known=known) == ["live-key"]
    assert "--renew" in mend(asked, known=known)
    assert "--replace" in mend(asked, known=known)


def test_reissue_does_not_let_another_key_take_over() -> None:
    known = facts(live=live(recorded()))
    assert refusals(request(signer=key("mallory")), Wishes(may_reissue=True), known) == ["live-key"]


def test_replace_lets_another_key_take_over_and_names_the_old_certificate_to_be_revoked() -> None:
    held = recorded()
    approved = granted(request(signer=key("alice-2")), Wishes(may_replace=True), facts(live=live(held)))
    assert (approved.grant.replaces, approved.grant.renews) == (held.serial, None)


def test_replace_replaces_nothing_where_nothing_is_held() -> None:
    assert granted(request(), Wishes(may_replace=True)).grant.replaces is None


def test_a_key_that_is_live_for_another_identity_is_refused() -> None:
    bobs = recorded(identity("bob"))
    known = facts(of_key=bobs)
    assert refusals(request(), Wishes(may_reissue=True, may_replace=True), known) == ["key-in-use"]


@pytest.mark.parametrize(
    ("owner", "mend"),
    [
        (identity("alice", "server"), "if server/alice is meant: --profile server; else make a key for each"),
        (identity("bob"), "make a key for each: keystead csr NAME"),
    ],
)
def test_where_only_the_profile_differs_the_mend_names_it(owner: Identity, mend: str) -> None:
    with pytest.raises(Refused) as refused:
        decide(request(), known=facts(of_key=recorded(owner)))
    assert refused.value.mend.startswith(mend)


@pytest.mark.parametrize("ended", [{"revoked": "superseded"}, {"age": 31 * DAY}], ids=["revoked", "expired"])
def test_a_key_whose_other_identity_ended_is_free(ended: dict[str, object]) -> None:
    granted(request(), known=facts(of_key=recorded(identity("bob"), **ended)))  # type: ignore[arg-type]


def test_the_same_csr_again_gives_back_the_recorded_certificate() -> None:
    asked = request()
    assert decide(asked, known=known_repetition(asked)) == Repetition(recorded().serial, identity())


def test_with_just_more_than_a_third_of_its_life_left_it_is_given_back() -> None:
    asked = request()
    known = known_repetition(asked, age=20 * DAY - timedelta(seconds=1))
    assert isinstance(decide(asked, known=known), Repetition)


def test_with_a_third_of_its_life_left_the_same_csr_gets_a_fresh_one() -> None:
    asked = request()
    approved = granted(asked, known=known_repetition(asked, age=20 * DAY))
    assert (approved.grant.renews, approved.grant.replaces) == (None, None)


@pytest.mark.parametrize(
    "wishes",
    [Wishes(lifetime=10 * DAY), Wishes(lifetime=60 * DAY)],
    ids=["shorter", "longer"],
)
@pytest.mark.parametrize("age", [DAY, 25 * DAY], ids=["young", "old"])
def test_the_same_csr_with_other_wishes_is_refused_naming_reissue(wishes: Wishes, age: timedelta) -> None:
    asked = request()
    known = known_repetition(asked, age=age)
    assert refusals(asked, wishes, known) == ["other-wishes"]
    assert "--reissue" in mend(asked, wishes, known)


def test_the_same_csr_with_other_hosts_is_refused_naming_reissue() -> None:
    asked = request("web", hosts=["web"], purposes=[SERVER])
    who = identity("web", "server")
    digest = wishes_digest(who, HostNames.of(["web"]), 90 * DAY)
    record = recorded(
        who,
        key_label="web",
        csr_fingerprint=asked.fingerprint,
        wishes_digest=digest,
        lifetime=90 * DAY,
        host_names=HostNames.of(["web"]),
    )
    known = facts(live=live(record), of_key=record, repeated=record)
    assert isinstance(decide(asked, Wishes(profile="server"), known), Repetition)
    other = Wishes(profile="server", host_names=HostNames.of(["web", "db"]))
    assert refusals(asked, other, known) == ["other-wishes"]


def test_reissue_gives_the_same_csr_another_certificate() -> None:
    asked = request()
    for wishes in (Wishes(may_reissue=True), Wishes(may_reissue=True, lifetime=10 * DAY)):
        approved = granted(asked, wishes, known_repetition(asked))
        assert (approved.grant.replaces, approved.grant.renews) == (None, None)


def test_the_same_csr_of_a_revoked_certificate_is_refused() -> None:
    asked = request()
    record = replace(known_repetition(asked).repeated or recorded(), revoked="superseded")
    known = facts(of_key=record, repeated=record)
    assert refusals(asked, known=known) == ["revoked"]
    granted(asked, Wishes(may_reissue=True), known)


def test_the_same_csr_of_an_expired_certificate_gets_a_fresh_one() -> None:
    asked = request()
    record = known_repetition(asked, age=31 * DAY).repeated
    granted(asked, known=facts(of_key=record, repeated=record))


def test_another_csr_of_the_live_key_is_refused_naming_reissue_while_a_third_is_left() -> None:
    record = recorded()
    known = facts(live=live(record), of_key=record)
    assert refusals(request(), known=known) == ["live-key"]
    assert "--reissue" in mend(request(), known=known)
    granted(request(), Wishes(may_reissue=True), known)


def test_another_csr_of_the_live_key_renews_it_in_its_last_third() -> None:
    record = recorded(age=21 * DAY)
    granted(request(), known=facts(live=live(record), of_key=record))


def test_in_its_last_third_the_live_key_gets_no_more_hosts_than_it_has() -> None:
    who = identity("web", "server")
    record = recorded(who, key_label="web", age=80 * DAY, lifetime=90 * DAY, host_names=HostNames.of(["a"]))
    known = facts(live=live(record), of_key=record)
    asked = request("web", hosts=["a", "b"], purposes=[SERVER])
    assert refusals(asked, Wishes(profile="server"), known) == ["more-sans"]
    granted(asked, Wishes(profile="server", may_reissue=True), known)


def test_replace_gives_no_second_certificate_to_the_same_live_key() -> None:
    record = recorded()
    known = facts(live=live(record), of_key=record)
    assert refusals(request(), Wishes(may_replace=True), known) == ["live-key"]
