"""Recording, renewing, revoking: what is enforced when it is written, whatever was checked before."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from datetime import timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from keystead.ca.inventory import reads, writes
from keystead.ca.inventory.rows import Certificate, Crl, Issue, Live
from keystead.ca.inventory.schema import identities, renewals
from keystead.ca.inventory.store import Inventory, open_inventory
from keystead.ca.inventory.writes import Conflict
from keystead.errors import Unavailable
from keystead.pki.revocation import Revocation
from tests.ca.inventory.sample import NOW, ROOT_SERIAL, certificate, digest


def record(inventory: Inventory, *issues: Issue) -> None:
    with inventory.writing() as tx:
        writes.record(tx, issues)


def revoke(inventory: Inventory, serial: str, reason: str = "superseded") -> frozenset[str]:
    with inventory.writing() as tx:
        return writes.revoke(tx, [Revocation(serial, NOW, reason)])


def live(inventory: Inventory, name: str = "alice") -> Live | None:
    with inventory.reading() as tx:
        return reads.live_rows(tx, [("client", name)]).get(("client", name))


def refused(inventory: Inventory, *issues: Issue) -> frozenset[str]:
    with pytest.raises(Conflict) as raised:
        record(inventory, *issues)
    return raised.value.serials


def test_a_certificate_comes_back_as_it_was_recorded(inventory: Inventory) -> None:
    given = certificate("01", sans=("db.example.org", "::1"))
    record(inventory, Issue(given))
    with inventory.reading() as tx:
        found = reads.certificate(tx, "01")
    assert found is not None
    assert (found.certificate, found.revocation) == (given, None)


def test_the_identity_holds_the_newest_certificate(inventory: Inventory) -> None:
    record(inventory, Issue(certificate("01")))
    record(inventory, Issue(certificate("02"), expects="01"))
    assert live(inventory) == certificate("02").live


@pytest.mark.parametrize("expects", [None, "02"])
def test_an_identity_that_changed_since_the_check_is_a_conflict(
    inventory: Inventory, expects: str | None
) -> None:
    record(inventory, Issue(certificate("01")))
    assert refused(inventory, Issue(certificate("03"), expects=expects)) == {"03"}
    assert live(inventory) == certificate("01").live


def test_an_identity_that_is_gone_since_the_check_is_a_conflict(inventory: Inventory) -> None:
    record(inventory, Issue(certificate("01")))
    revoke(inventory, "01")
    assert refused(inventory, Issue(certificate("02"), expects="01")) == {"02"}


def test_a_conflict_writes_nothing_of_the_whole_batch(inventory: Inventory) -> None:
    record(inventory, Issue(certificate("01")))
    assert refused(inventory, Issue(certificate("02", "bob")), Issue(certificate("03"))) == {"03"}
    assert live(inventory, "bob") is None


def test_an_expired_identity_holds_nothing(inventory: Inventory) -> None:
    record(inventory, Issue(certificate("01", not_after=NOW - timedelta(seconds=1))))
    record(inventory, Issue(certificate("02")))
    assert live(inventory) == certificate("02").live


def test_a_key_is_live_for_one_identity_only(inventory: Inventory) -> None:
    record(inventory, Issue(certificate("01", "alice", key="shared")))
    assert refused(inventory, Issue(certificate("02", "bob", key="shared"))) == {"02"}


def test_the_key_of_an_expired_identity_is_free(inventory: Inventory) -> None:
    record(inventory, Issue(certificate("01", "alice", key="shared", not_after=NOW)))
    record(inventory, Issue(certificate("02", "bob", key="shared")))
    assert live(inventory, "alice") is None
    assert live(inventory, "bob") == certificate("02", "bob", key="shared").live


@pytest.mark.parametrize(
    "second", [certificate("02", "alice"), certificate("02", "bob", key="01")], ids=["identity", "key"]
)
def test_of_two_in_each_others_way_the_first_is_let_through(
    inventory: Inventory, second: Certificate
) -> None:
    assert refused(inventory, Issue(certificate("01")), Issue(second)) == {"02"}


def test_the_constraints_hold_without_the_look_before(inventory: Inventory) -> None:
    record(inventory, Issue(certificate("01")))
    row = {"profile": "client", "name": "bob", "serial": "01", "not_after": NOW}
    for doubled in (
        {**row, "key_fingerprint": digest("key 01")},
        {**row, "name": "alice", "key_fingerprint": "x"},
    ):
        with pytest.raises(IntegrityError), inventory._engine.begin() as tx:
            tx.execute(insert(identities), doubled)
    with pytest.raises(IntegrityError), inventory._engine.begin() as tx:
        tx.execute(insert(renewals), [{"old_serial": "01", "key_fingerprint": key} for key in ("x", "y")])


def test_a_serial_is_given_once(inventory: Inventory) -> None:
    record(inventory, Issue(certificate("01")))
    assert refused(inventory, Issue(certificate("01", "bob", key="other"))) == {"01"}


def test_two_keys_cannot_renew_one_certificate(inventory: Inventory) -> None:
    record(inventory, Issue(certificate("01")))
    record(inventory, Issue(certificate("02", renews="01"), expects="01"))
    assert refused(inventory, Issue(certificate("03", renews="01"), expects="02")) == {"03"}


def test_the_key_that_renewed_may_have_another_certificate_of_the_same_renewal(inventory: Inventory) -> None:
    record(inventory, Issue(certificate("01")))
    record(inventory, Issue(certificate("02", key="new", renews="01"), expects="01"))
    record(inventory, Issue(certificate("03", key="new", renews="01"), expects="02"))
    with inventory.reading() as tx:
        assert reads.renewal_keys(tx, ["01"]) == {"01": digest("key new")}


def test_a_revoked_certificate_is_not_renewed(inventory: Inventory) -> None:
    record(inventory, Issue(certificate("01")))
    revoke(inventory, "01")
    assert refused(inventory, Issue(certificate("02", renews="01"))) == {"02"}


def test_a_revoked_identity_holds_nothing(inventory: Inventory) -> None:
    record(inventory, Issue(certificate("01")))
    assert revoke(inventory, "01") == {"01"}
    assert live(inventory) is None


def test_a_revoked_identity_falls_back_to_an_older_certificate_of_its_key(inventory: Inventory) -> None:
    for serial, expects in (("01", None), ("02", "01"), ("03", "02")):
        record(inventory, Issue(certificate(serial, key="k"), expects=expects))
    revoke(inventory, "02")
    assert live(inventory) == certificate("03", key="k").live
    revoke(inventory, "03")
    assert live(inventory) == certificate("01", key="k").live


def test_a_superseded_certificate_of_another_key_does_not_come_back(inventory: Inventory) -> None:
    record(inventory, Issue(certificate("01")))
    record(inventory, Issue(certificate("02", renews="01"), expects="01"))
    revoke(inventory, "02")
    assert live(inventory) is None


def test_replacing_records_the_new_and_then_revokes_the_old(inventory: Inventory) -> None:
    record(inventory, Issue(certificate("01")))
    with inventory.writing() as tx:
        writes.record(tx, [Issue(certificate("02"), expects="01")])
        writes.revoke(tx, [Revocation("01", NOW, "superseded")])
    assert live(inventory) == certificate("02").live


def test_a_revocation_stands_as_it_was_first_recorded(inventory: Inventory) -> None:
    record(inventory, Issue(certificate("01")))
    revoke(inventory, "01", "superseded")
    assert revoke(inventory, "01", "cessationOfOperation") == frozenset()
    with inventory.reading() as tx:
        assert [entry.reason for entry in reads.revoked_under(tx, ROOT_SERIAL)] == ["superseded"]


def test_key_compromise_replaces_a_milder_reason_and_nothing_replaces_it(inventory: Inventory) -> None:
    record(inventory, Issue(certificate("01")))
    revoke(inventory, "01", "superseded")
    assert revoke(inventory, "01", "keyCompromise") == {"01"}
    assert revoke(inventory, "01", "superseded") == frozenset()
    with inventory.reading() as tx:
        assert [entry.reason for entry in reads.revoked_under(tx, ROOT_SERIAL)] == ["keyCompromise"]


def test_what_does_not_exist_cannot_be_revoked(inventory: Inventory) -> None:
    with pytest.raises(Unavailable):
        revoke(inventory, "ff")


def test_a_crl_number_is_given_once(inventory: Inventory) -> None:
    def crl(number: int) -> Crl:
        return Crl(ROOT_SERIAL, number, NOW, NOW + timedelta(days=90))

    for number in (1, 2**40, 7):
        with inventory.writing() as tx:
            writes.add_crl(tx, crl(number))
    with inventory.reading() as tx:
        assert reads.last_crl(tx, ROOT_SERIAL) == crl(2**40)
        assert reads.last_crl(tx, "0b") is None
    with pytest.raises(Conflict), inventory.writing() as tx:
        writes.add_crl(tx, crl(7))


def _take(path: Path, serials: Sequence[str], barrier: Barrier, answers: Queue[tuple[str, str]]) -> None:
    with open_inventory(path) as inventory:
        barrier.wait(30)
        for serial in serials:
            try:
                record(inventory, Issue(certificate(serial, f"name-{serial[2:]}")))
                answers.put((serial, "recorded"))
            except Conflict:
                answers.put((serial, "conflict"))


@pytest.mark.slow
def test_of_two_processes_racing_for_an_identity_exactly_one_gets_it(inventory: Inventory) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(2), context.Queue()
    rounds = 40
    takers = [
        context.Process(
            target=_take, args=(inventory.path, [f"{who}{n:02x}" for n in range(rounds)], barrier, answers)
        )
        for who in ("0a", "0b")
    ]
    for taker in takers:
        taker.start()
    found = [answers.get(timeout=60) for _ in range(2 * rounds)]
    for taker in takers:
        taker.join(60)
    for n in range(rounds):
        outcomes = sorted(outcome for serial, outcome in found if serial[2:] == f"{n:02x}")
        assert outcomes == ["conflict", "recorded"]
