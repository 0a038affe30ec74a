"""Renewal by a new key: what a proof is worth, and what no flag makes it worth."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.pki.csr import CertificateRequest
from keystead.pki.facts import Facts, PriorCertificate, Repetition, Wishes
from keystead.pki.names import HostNames, TrustDomain
from keystead.pki.renewal import prove
from tests.pki.makers import (
    DAY,
    DOMAIN,
    SERVER,
    Ca,
    decide,
    facts,
    granted,
    identity,
    key,
    known_repetition,
    live,
    recorded,
    refusals,
    renewal,
    request,
)

ALICE = Ca().leaf("alice")


def known_renewal(record: PriorCertificate | None = None, **changes: object) -> Facts:
    """The facts where alice holds the certificate that is renewed."""
    record = record or recorded()
    plain = {"live": live(record), "renewed": record, "renewed_der": ALICE.public_bytes(Encoding.DER)}
    return facts(**{**plain, **changes})


def test_a_renewal_with_a_proof_needs_no_flag() -> None:
    approved = granted(renewal(), known=known_renewal())
    assert approved.grant.renews == recorded().serial
    assert approved.grant.replaces is None
    assert approved.identity == identity()


def test_a_renewal_is_for_the_identity_renewed_whatever_its_common_name_says() -> None:
    assert granted(renewal(cn="bob"), known=known_renewal()).identity == identity("alice")


def test_a_renewal_keeps_the_profile_that_it_had() -> None:
    record = recorded(identity("alice", "operator"))
    assert granted(renewal(), known=known_renewal(record)).identity.profile == "operator"


def test_a_proof_by_another_key_is_refused() -> None:
    assert refusals(renewal(old="mallory"), known=known_renewal()) == ["bad-proof"]


def test_a_proof_for_another_new_key_is_refused() -> None:
    assert refusals(renewal(new_key=key("bob").public_key()), known=known_renewal()) == ["bad-proof"]


def test_a_proof_for_another_environment_is_refused() -> None:
    foreign = renewal(trust_domain=TrustDomain("dev.example.internal"))
    assert refusals(foreign, known=known_renewal()) == ["foreign-renewal"]


def test_a_proof_of_a_certificate_that_was_never_issued_is_refused() -> None:
    assert refusals(renewal(serial="abcdef"), known=facts()) == ["bad-proof"]


def test_a_revoked_certificate_renews_nothing() -> None:
    known = known_renewal(recorded(revoked="superseded"), live=None)
    assert refusals(renewal(), known=known) == ["revoked"]


def test_an_expired_certificate_renews_nothing() -> None:
    assert refusals(renewal(), known=known_renewal(recorded(age=30 * DAY), live=None)) == ["expired"]


def test_a_superseded_certificate_renews_nothing() -> None:
    newer = replace(live(recorded(key_label="alice-1b")), serial="5e41a2")
    assert refusals(renewal(), known=known_renewal(live=newer)) == ["superseded"]


def test_a_renewal_for_another_identity_is_refused() -> None:
    assert refusals(renewal(), Wishes(name="bob"), known_renewal(live=None)) == [
        "foreign-identity",
        "superseded",
    ]


def web_renewal(*hosts: str) -> tuple[CertificateRequest, Facts]:
    web = Ca().leaf("web", "server", hosts=["a", "b"])
    record = recorded(
        identity("web", "server"), key_label="web", lifetime=90 * DAY, host_names=HostNames.of(["a", "b"])
    )
    proof = prove(key("web"), DOMAIN, record.serial, key("web-2").public_key())
    asked = request("web", signer=key("web-2"), hosts=hosts, purposes=[SERVER], proof=proof)
    return asked, known_renewal(record, renewed_der=web.public_bytes(Encoding.DER))


@pytest.mark.parametrize(
    ("asked_for", "got"),
    [(["a", "b"], ("a", "b")), (["b"], ("b",)), ([], ("a", "b"))],
    ids=["same", "fewer", "none"],
)
def test_a_renewal_gets_the_same_hosts_or_fewer(asked_for: list[str], got: tuple[str, ...]) -> None:
    asked, known = web_renewal(*asked_for)
    assert granted(asked, known=known).grant.host_names.texts == got


def test_a_renewal_with_more_hosts_needs_an_operator() -> None:
    asked, known = web_renewal("a", "c")
    assert refusals(asked, known=known) == ["more-sans"]
    named = Wishes(host_names=HostNames.of(["a", "c"]))
    assert granted(asked, named, known).grant.host_names.texts == ("a", "c")


def test_the_same_renewal_again_gives_back_what_it_got() -> None:
    asked = renewal()
    after = known_repetition(asked, serial="5e41a2")
    known = replace(after, renewed=recorded(), renewed_der=ALICE.public_bytes(Encoding.DER))
    assert decide(asked, known=known) == Repetition("5e41a2", identity())


def test_after_a_renewal_the_old_csr_still_gives_the_old_certificate() -> None:
    old = request()
    superseded = known_repetition(old).repeated
    newer = replace(live(recorded(key_label="alice-2")), serial="5e41a2")
    known = facts(live=newer, of_key=superseded, repeated=superseded)
    assert decide(old, known=known) == Repetition(recorded().serial, identity())


def test_after_a_renewal_the_old_key_gets_no_fresh_certificate() -> None:
    old = request()
    superseded = known_repetition(old, age=21 * DAY).repeated
    newer = replace(live(recorded(key_label="alice-2")), serial="5e41a2")
    known = facts(live=newer, of_key=superseded, repeated=superseded)
    assert refusals(old, known=known) == ["live-key"]
    assert refusals(old, Wishes(may_reissue=True), known) == ["live-key"]


def test_replace_with_a_good_proof_revokes_the_old_instead_of_superseding_it() -> None:
    approved = granted(renewal(), Wishes(may_replace=True), known_renewal())
    assert (approved.grant.replaces, approved.grant.renews) == (recorded().serial, None)


@pytest.mark.parametrize(
    "forged",
    [renewal(old="mallory"), renewal(new_key=key("bob").public_key())],
    ids=["another key's", "for another key"],
)
def test_replace_does_not_let_a_forged_proof_choose_the_profile(forged: CertificateRequest) -> None:
    operators = recorded(identity("alice", "operator"))
    assert refusals(forged, Wishes(may_replace=True), known_renewal(operators)) == ["bad-proof"]


def test_replace_does_not_let_a_revoked_certificate_choose_the_profile() -> None:
    operators = recorded(identity("alice", "operator"), revoked="keyCompromise")
    known = known_renewal(operators, live=None)
    assert refusals(renewal(), Wishes(may_replace=True), known) == ["revoked"]


def test_an_operator_who_names_the_profile_may_replace_whatever_the_proof_is_worth() -> None:
    newer = replace(live(recorded(key_label="alice-1b")), serial="5e41a2")
    approved = granted(renewal(), Wishes(may_replace=True, profile="client"), known_renewal(live=newer))
    assert approved.grant.replaces == "5e41a2"
