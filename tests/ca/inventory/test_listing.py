"""Pages of the inventory: whole, in order, and by index at any size."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, text

from keystead.ca.inventory import writes
from keystead.ca.inventory.listing import Cursor, Filter, State, page
from keystead.ca.inventory.reads import revoked_under
from keystead.ca.inventory.rows import Issue
from keystead.ca.inventory.store import Inventory, create_inventory
from keystead.pki.revocation import Revocation
from tests.ca.inventory.sample import NOW, ROOT_SERIAL, certificate, root

MINUTE = timedelta(minutes=1)


@pytest.fixture
def filled(inventory: Inventory) -> Inventory:
    """c0 … c9 issued a minute apart; c0 to c2 have expired, c3 and c4 are revoked; c9 is a server."""
    made = [
        certificate(
            f"{n:02x}",
            f"c{n}",
            profile="server" if n == 9 else "client",
            issued_at=NOW + n * MINUTE,
            not_after=NOW + (timedelta(days=n) if n > 2 else -n * MINUTE),
        )
        for n in range(10)
    ]
    with inventory.writing() as tx:
        writes.record(tx, [Issue(one) for one in made])
        writes.revoke(tx, [Revocation(f"{n:02x}", NOW + n * MINUTE, "superseded") for n in (3, 4)])
    return inventory


def names(inventory: Inventory, wanted: Filter, limit: int = 100) -> list[str]:
    found: list[str] = []
    after: Cursor | None = None
    with inventory.reading() as tx:
        while True:
            one = page(tx, wanted, NOW, after=after, limit=limit)
            assert len(one.entries) <= limit
            found += [entry.certificate.name for entry in one.entries]
            if one.following is None:
                return found
            after = one.following


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), "c9 c8 c7 c6 c5 c4 c3 c2 c1 root c0"),
        (Filter(State.VALID), "c5 c6 c7 c8 c9 root"),
        (Filter(State.EXPIRED), "c0 c1 c2"),
        (Filter(State.REVOKED), "c4 c3"),
        (Filter(profile="server"), "c9"),
        (Filter(State.VALID, profile="client"), "c5 c6 c7 c8"),
        (Filter(name="c4"), "c4"),
        (Filter(State.VALID, name="c4"), ""),
    ],
)
def test_every_state_has_its_certificates_in_its_order(
    filled: Inventory, wanted: Filter, expected: str, limit: int
) -> None:
    assert sorted(names(filled, wanted, limit)) == sorted(expected.split())
    if wanted.state is not State.ALL or wanted.name or wanted.profile:
        assert names(filled, wanted, limit) == expected.split()


def test_certificates_of_one_second_are_paged_without_loss(inventory: Inventory) -> None:
    with inventory.writing() as tx:
        writes.record(tx, [Issue(certificate(f"{n:04x}", f"c{n}")) for n in range(250)])
    found = names(inventory, Filter(profile="client"), limit=7)
    assert len(found) == len(set(found)) == 250


SIZE = 100_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inventory]:
    """A hundred thousand certificates, half of them expired, one in a thousand revoked."""
    path: Path = tmp_path_factory.mktemp("large") / "inventory.db"
    inventory = create_inventory(path)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :size) "
    fill = numbers + (
        "INSERT INTO certificates SELECT NULL, printf('%040x', i), 'leaf', 'client', 'c' || i,"
        " printf('%064x', i), printf('%064x', i), '', '', 0,"
        " CASE i % 2 WHEN 0 THEN :now - i ELSE :now + i END, '0a', NULL, :now - i, zeroblob(700) FROM n"
    )
    end = numbers + (
        "INSERT INTO revocations SELECT printf('%040x', i), :now - i, 'superseded' FROM n WHERE i % 1000 = 0"
    )
    now = int(NOW.timestamp())
    with inventory.writing() as tx:
        writes.record(tx, [Issue(root())])
        tx.execute(text(fill), {"size": SIZE, "now": now})
        tx.execute(text(end), {"size": SIZE, "now": now})
    yield inventory
    inventory.close()


@pytest.mark.slow
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("wanted", [{}, {"profile": "server"}, {"name": "c777"}], ids=str)
def test_a_large_list_is_paged_by_an_index_and_never_sorted(
    large: Inventory, state: State, wanted: dict[str, str]
) -> None:
    statements: list[tuple[str, tuple[object, ...]]] = []
    listened = (large._engine, "before_cursor_execute", lambda *a: statements.append((a[2], a[3])))
    event.listen(*listened)
    with large.reading() as tx:
        page(tx, Filter(state, **wanted), NOW, after=Cursor(NOW - timedelta(seconds=500), "5" * 40))
        event.remove(*listened)
        statement, parameters = next(found for found in statements if found[0].startswith("SELECT"))
        plan = tx.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters).all()
    steps = [row[3] for row in plan]
    assert all(step.startswith(("SEARCH", "USE TEMP B-TREE")) for step in steps), steps
    if "name" not in wanted:
        assert not any("TEMP B-TREE" in step for step in steps), steps


@pytest.mark.slow
def test_a_crl_of_a_large_inventory_reads_the_revoked_alone(large: Inventory) -> None:
    statements: list[tuple[str, tuple[object, ...]]] = []
    listened = (large._engine, "before_cursor_execute", lambda *a: statements.append((a[2], a[3])))
    event.listen(*listened)
    with large.reading() as tx:
        assert len(revoked_under(tx, ROOT_SERIAL)) == SIZE // 1000
        event.remove(*listened)
        statement, parameters = next(found for found in statements if found[0].startswith("SELECT"))
        plan = tx.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters).all()
    assert not [row[3] for row in plan if row[3].startswith("SCAN certificates")]
