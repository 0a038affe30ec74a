from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from keystead.ca.inventory.bulk import among, insert_rows
from keystead.ca.inventory.schema import crls, revocations
from keystead.ca.inventory.store import Inventory
from tests.ca.inventory.sample import ROOT_SERIAL

THEN, LATER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def test_rows_come_back_as_they_were_given_times_too(inventory: Inventory) -> None:
    rows = [(ROOT_SERIAL, number, THEN, LATER) for number in range(3)]
    with inventory.writing() as tx:
        insert_rows(tx, crls, rows)
        assert [tuple(row) for row in tx.execute(select(crls).order_by(crls.c.number))] == rows


def test_no_rows_are_no_statement(inventory: Inventory) -> None:
    with inventory.writing() as tx:
        insert_rows(tx, crls, [])
        assert tx.execute(select(crls)).all() == []


def test_a_time_without_a_zone_is_refused_here_too(inventory: Inventory) -> None:
    with inventory.writing() as tx, pytest.raises(ValueError, match="time zone"):
        insert_rows(tx, crls, [(ROOT_SERIAL, 1, THEN.replace(tzinfo=None), LATER)])


def test_constraints_hold_for_many_rows_as_for_one(inventory: Inventory) -> None:
    with inventory.writing() as tx, pytest.raises(IntegrityError):
        insert_rows(tx, revocations, [("nobody's", THEN, "superseded")])


@pytest.mark.parametrize("count", [0, 1, 100_000])
def test_however_many_keys_are_asked_for_those_that_are_there_are_found(
    inventory: Inventory, count: int
) -> None:
    rows = [(ROOT_SERIAL, number, THEN, LATER) for number in range(3)]
    asked = [ROOT_SERIAL, *(f"{number:x}'\"\\" for number in range(1, count))][:count]
    with inventory.writing() as tx:
        insert_rows(tx, crls, rows)
        found = tx.execute(select(crls.c.number).where(among(crls.c.issuer_serial, asked))).all()
    assert len(found) == (3 if count else 0)
