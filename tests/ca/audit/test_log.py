"""The audit log: appended in a transaction, verified whole, and what every tampering is called."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event, text

from keystead.ca.audit import log
from keystead.ca.audit.entry import CLOCK_ACCEPTED, Entry
from keystead.ca.audit.log import Tampered
from keystead.ca.inventory.store import Inventory
from keystead.errors import Unavailable
from keystead.wire.merkle import EMPTY_ROOT, Frontier, leaf_hash
from tests.ca.inventory.sample import NOW

MINUTE = timedelta(minutes=1)


def entry(n: int, what: str = "certificate.issue", shift: timedelta = timedelta()) -> Entry:
    return Entry("root@ca", what, NOW + n * MINUTE + shift, "ok", serial=f"{n:02x}")


def append(inventory: Inventory, *entries: Entry) -> None:
    with inventory.writing() as tx:
        log.append(tx, entries)


def verify(inventory: Inventory) -> log.Verified:
    with inventory.reading() as tx:
        return log.verify(tx)


def tamper(inventory: Inventory, statement: str) -> None:
    with inventory.writing() as tx:
        assert tx.execute(text(statement)).rowcount > 0


@pytest.fixture
def filled(inventory: Inventory) -> Inventory:
    """Eleven entries, 0 to 10, a minute apart, written in three transactions."""
    append(inventory, entry(0))
    append(inventory, *map(entry, range(1, 8)))
    append(inventory, *map(entry, range(8, 11)))
    return inventory


def test_an_empty_log_is_sound(inventory: Inventory) -> None:
    assert verify(inventory) == log.Verified(0, EMPTY_ROOT, None)


def test_the_root_is_the_one_over_all_entries(filled: Inventory) -> None:
    leaves = [leaf_hash(entry(n).canonical().encode()) for n in range(11)]
    assert verify(filled) == log.Verified(11, Frontier().append(leaves).root, entry(10).when)


def test_entries_are_read_in_order_from_any_number_on(filled: Inventory) -> None:
    with filled.reading() as tx:
        assert [(found.seq, found.entry) for found in log.entries(tx, 9)] == [(9, entry(9)), (10, entry(10))]


def test_entries_of_a_transaction_that_fails_are_not_there(filled: Inventory) -> None:
    with pytest.raises(RuntimeError), filled.writing() as tx:
        log.append(tx, [entry(11)])
        raise RuntimeError
    assert verify(filled).size == 11


def test_appending_reads_no_entries(filled: Inventory) -> None:
    statements: list[str] = []
    event.listen(filled._engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    append(filled, entry(11))
    assert not any("FROM audit " in statement or "FROM audit\n" in statement for statement in statements)


def test_more_entries_than_are_read_at_once_are_verified(inventory: Inventory) -> None:
    append(inventory, *map(entry, range(2500)))
    assert verify(inventory).size == 2500


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE audit SET entry = replace(entry, 'root', 'who') WHERE seq = 5", "entry 5 .* have its hash"),
        ("UPDATE audit SET entry = entry || ' ' WHERE seq = 5", "entry 5 .*was changed"),
        ("UPDATE audit SET entry = 'x' WHERE seq = 0", "entry 0 .*was changed"),
        ("UPDATE audit SET leaf = zeroblob(32) WHERE seq = 7", "entry 7 .*not have its hash"),
        ("UPDATE audit SET at = at + 1 WHERE seq = 3", "entry 3 .*another time"),
        ("DELETE FROM audit WHERE seq = 4", "entry 4 .*missing"),
        ("DELETE FROM audit WHERE seq = 10", "holds 10 entries, and 11 were written"),
        ("INSERT INTO audit SELECT 11, at, entry, leaf FROM audit WHERE seq = 10", "holds 12 entries"),
        ("UPDATE audit_tree SET size = 15", "tree is damaged"),
        ("UPDATE audit_tree SET frontier = zeroblob(96)", "not the one over its entries"),
        ("UPDATE audit_tree SET frontier = zeroblob(95)", "tree is damaged"),
        ("UPDATE audit_tree SET newest_at = 1", "newest time"),
        ("UPDATE audit SET entry = x'00' WHERE seq = 4", "cannot be read"),
        ("UPDATE audit SET leaf = 'text' WHERE seq = 4", "entry 4 .* have its hash"),
        ("UPDATE audit SET at = 'noon' WHERE seq = 4", "cannot be read"),
        ("UPDATE audit SET at = 9e18 WHERE seq = 4", "cannot be read"),
        ("UPDATE audit_tree SET newest_at = 'noon'", "tree is damaged"),
        ("UPDATE audit_tree SET frontier = 'text'", "tree is damaged"),
        ("DELETE FROM audit_tree", "tree is damaged"),
    ],
)  # fmt: skip
def test_every_tampering_is_found_and_the_first_wrong_entry_named(
    filled: Inventory, statement: str, said: str
) -> None:
    tamper(filled, statement)
    with pytest.raises(Tampered, match=said) as raised:
        verify(filled)
    assert raised.value.mend


def test_an_entry_that_was_rewritten_with_its_hash_still_breaks_the_tree(filled: Inventory) -> None:
    forged = Entry("nobody", "certificate.issue", entry(5).when, "ok").canonical()
    leaf = leaf_hash(forged.encode()).hex()
    tamper(filled, f"UPDATE audit SET entry = '{forged}', leaf = x'{leaf}' WHERE seq = 5")
    with pytest.raises(Tampered, match="not the one over its entries"):
        verify(filled)


def test_two_entries_that_changed_places_are_found(filled: Inventory) -> None:
    for step in ("SET seq = 99 WHERE seq = 2", "SET seq = 2 WHERE seq = 3", "SET seq = 3 WHERE seq = 99"):
        tamper(filled, f"UPDATE audit {step}")
    with pytest.raises(Tampered):
        verify(filled)


def test_nothing_is_signed_where_the_clock_went_back(filled: Inventory) -> None:
    with filled.reading() as tx:
        log.check_clock(tx, entry(10).when - 5 * MINUTE)
        with pytest.raises(Unavailable, match="--accept-clock"):
            log.check_clock(tx, entry(10).when - 5 * MINUTE - timedelta(seconds=1))


def test_on_an_empty_log_any_clock_is_right(inventory: Inventory) -> None:
    with inventory.reading() as tx:
        log.check_clock(tx, NOW)
        assert log.newest(tx) is None


def test_the_newest_time_is_not_the_last_ones_where_the_clock_went_back_a_little(filled: Inventory) -> None:
    append(filled, entry(10, shift=-4 * MINUTE))
    with filled.reading() as tx:
        assert log.newest(tx) == entry(10).when
    assert verify(filled).newest == entry(10).when


def test_an_entry_from_far_before_is_wrong_unless_the_clock_was_accepted(filled: Inventory) -> None:
    append(filled, entry(0, CLOCK_ACCEPTED), entry(1))
    assert verify(filled).newest == entry(1).when
    append(filled, entry(-9))
    with pytest.raises(Tampered, match=r"entry 13 .*older"):
        verify(filled)
