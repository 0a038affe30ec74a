"""What the inventory answers about CSRs, keys, lines of renewal and CRLs."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import event

from keystead.ca.inventory import reads, writes
from keystead.ca.inventory.rows import Answer, Certificate, Issue, Question, Recorded
from keystead.ca.inventory.store import Inventory
from keystead.pki.revocation import Revocation
from tests.ca.inventory.sample import NOW, ROOT_SERIAL, certificate, digest


def put(inventory: Inventory, *issues: Issue) -> None:
    for issue in issues:
        with inventory.writing() as tx:
            writes.record(tx, [issue])


def ask(inventory: Inventory, *questions: Question) -> tuple[Answer, ...]:
    with inventory.reading() as tx:
        return reads.answers(tx, questions)


def question(certificate: Certificate) -> Question:
    assert certificate.csr_fingerprint is not None
    return Question(
        certificate.profile,
        certificate.name,
        certificate.key_fingerprint,
        certificate.csr_fingerprint,
        certificate.renews,
    )


def test_of_a_stranger_nothing_is_known(inventory: Inventory) -> None:
    assert ask(inventory, question(certificate("01", renews="ee"))) == (Answer(),)


def test_of_a_repetition_everything_is_known(inventory: Inventory) -> None:
    given = certificate("01")
    put(inventory, Issue(given))
    recorded = Recorded(given, None)
    assert ask(inventory, question(given)) == (Answer(live=given.live, of_key=recorded, recorded=recorded),)


def test_of_the_same_csr_the_newest_certificate_is_found(inventory: Inventory) -> None:
    newer = certificate("01", key="k", issued_at=NOW + timedelta(days=20))
    put(inventory, Issue(certificate("02", key="k")), Issue(newer, expects="02"))
    (facts,) = ask(inventory, question(newer))
    assert facts.recorded == Recorded(newer, None)


def test_of_a_renewal_the_old_certificate_is_known(inventory: Inventory) -> None:
    old = certificate("01")
    put(inventory, Issue(old), Issue(certificate("02", renews="01"), expects="01"))
    (facts,) = ask(inventory, question(certificate("03", renews="01")))
    assert facts.renewed == Recorded(old, None)


def test_a_revocation_is_told_with_its_certificate(inventory: Inventory) -> None:
    put(inventory, Issue(certificate("01")))
    ended = Revocation("01", NOW, "keyCompromise")
    with inventory.writing() as tx:
        writes.revoke(tx, [ended])
    (facts,) = ask(inventory, question(certificate("01")))
    assert facts.live is None
    assert facts.recorded == Recorded(certificate("01"), ended)


def test_hundreds_are_answered_in_order_by_a_few_statements(inventory: Inventory) -> None:
    given = [certificate(f"{n:04x}", f"name-{n}") for n in range(1200)]
    with inventory.writing() as tx:
        writes.record(tx, [Issue(one) for one in given])
    statements: list[tuple[str, tuple[object, ...]]] = []
    event.listen(inventory._engine, "before_cursor_execute", lambda *a: statements.append((a[2], a[3])))
    answers = ask(inventory, *map(question, given))
    assert [facts.live for facts in answers] == [one.live for one in given]
    assert len(statements) <= 20


def test_everything_asked_by_key_is_found_by_an_index(inventory: Inventory) -> None:
    statements: list[tuple[str, tuple[object, ...]]] = []
    listening = (inventory._engine, "before_cursor_execute", lambda *a: statements.append((a[2], a[3])))
    event.listen(*listening)
    with inventory.reading() as tx:
        reads.answers(tx, [question(certificate(serial, renews="ee")) for serial in ("01", "02", "03")])
        reads.certificates_of_key(tx, "k")
        reads.certificates_of_identity(tx, "alice")
        reads.descendants(tx, ["01"])
        reads.last_crl(tx, ROOT_SERIAL)
        event.remove(*listening)
        asked = [found for found in statements if found[0].startswith(("SELECT", "WITH"))]
        plans = [tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).all() for text, values in asked]
    steps = [row[3] for plan in plans for row in plan]
    assert len(plans) == 7
    # What is asked for is walked through, and the recursive query's own line; never a table.
    walks = {step for step in steps if step.startswith("SCAN")}
    assert {step.split()[1] for step in walks} <= {"line", "asked"}


def test_all_certificates_of_a_key_and_of_an_identity_are_found_oldest_first(inventory: Inventory) -> None:
    first = certificate("02", "alice", key="k", not_after=NOW + timedelta(seconds=1))
    later = certificate("01", "bob", key="k", issued_at=NOW + timedelta(days=1))
    server = certificate("03", "alice", profile="server")
    put(inventory, Issue(first), Issue(later), Issue(server))
    with inventory.reading() as tx:
        assert _serials(reads.certificates_of_key(tx, digest("key k"))) == ["02", "01"]
        assert _serials(reads.certificates_of_identity(tx, "alice")) == ["02", "03"]
        assert _serials(reads.certificates_of_identity(tx, "alice", "server")) == ["03"]


def _serials(found: tuple[Recorded, ...]) -> list[str]:
    return [entry.certificate.serial for entry in found]


def test_descendants_are_found_over_any_number_of_renewals(inventory: Inventory) -> None:
    line = [f"{n:02x}" for n in range(0x10, 0x30)]
    put(inventory, Issue(certificate("10")), Issue(certificate("ff", "bob")))
    for old, new in pairwise(line):
        put(inventory, Issue(certificate(new, renews=old), expects=old))
    with inventory.reading() as tx:
        assert _serials(reads.descendants(tx, ["10"])) == line[1:]
        assert _serials(reads.descendants(tx, ["2e", "ff"])) == ["2f"]
        assert _serials(reads.descendants(tx, [])) == []


def test_a_crl_lists_the_revoked_of_its_own_issuer(inventory: Inventory) -> None:
    put(
        inventory,
        Issue(certificate("02", "alice")),
        Issue(certificate("01", "bob")),
        Issue(certificate("03", "carol")),
    )
    put(inventory, Issue(certificate("04", "dave", issuer_serial="03")))
    with inventory.writing() as tx:
        writes.revoke(tx, [Revocation(serial, NOW, "superseded") for serial in ("02", "01", "04")])
    with inventory.reading() as tx:
        assert reads.revoked_under(tx, ROOT_SERIAL) == (
            Revocation("01", NOW, "superseded"),
            Revocation("02", NOW, "superseded"),
        )
        assert [entry.serial for entry in reads.revoked_under(tx, "03")] == ["04"]


def test_a_crl_lists_what_was_carried_over_though_its_certificate_is_not_here(inventory: Inventory) -> None:
    put(inventory, Issue(certificate("02")), Issue(certificate("04", "bob")))
    with inventory.writing() as tx:
        writes.revoke(tx, [Revocation("02", NOW, "superseded")])
        writes.carry(tx, ROOT_SERIAL, [Revocation(serial, NOW, "keyCompromise") for serial in ("03", "01")])
    with inventory.reading() as tx:
        assert [entry.serial for entry in reads.revoked_under(tx, ROOT_SERIAL)] == ["01", "02", "03"]
        assert reads.revoked_under(tx, ROOT_SERIAL)[0] == Revocation("01", NOW, "keyCompromise")
        assert reads.revoked_under(tx, "04") == ()


def test_times_are_kept_to_the_second_in_utc(inventory: Inventory) -> None:
    put(inventory, Issue(certificate("01", issued_at=NOW.replace(microsecond=999_999))))
    with inventory.reading() as tx:
        found = reads.certificate(tx, "01")
    assert found is not None
    assert found.certificate.issued_at == NOW


def test_a_moment_without_a_time_zone_is_never_written(inventory: Inventory) -> None:
    with pytest.raises(Exception, match="time zone"):
        put(inventory, Issue(certificate("01", issued_at=NOW.replace(tzinfo=None))))
