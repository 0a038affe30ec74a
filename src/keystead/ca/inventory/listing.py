"""Pages of the inventory: certificates by state, each state in its own order, at any size.

A page begins after the last entry of the one before (its `Cursor`), not at a count, so that the
thousandth page costs what the first does. Not here: certificates that are asked for by a key (`reads`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from sqlalchemy import Column, ColumnElement, Connection, literal, tuple_

from keystead.ca.inventory.reads import RECORDED, recorded_of
from keystead.ca.inventory.rows import Recorded
from keystead.ca.inventory.schema import Instant, certificates, revocations


class State(StrEnum):
    """Which certificates a list holds, and in which order."""

    ALL = "all"
    VALID = "valid"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which certificates are wanted: of a state, and of a profile or NAME where those are given."""

    state: State = State.ALL
    profile: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended: the moment that its state sorts by, and the serial."""

    moment: datetime
    serial: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some certificates, and where the next page begins; None where this is the last."""

    entries: tuple[Recorded, ...]
    following: Cursor | None


@dataclass(frozen=True, slots=True)
class _Order:
    moment: Column[datetime]
    serial: Column[str]
    descending: bool


_ORDERS: Mapping[State, _Order] = MappingProxyType(
    {
        State.ALL: _Order(certificates.c.issued_at, certificates.c.serial, descending=True),
        State.VALID: _Order(certificates.c.not_after, certificates.c.serial, descending=False),
        State.EXPIRED: _Order(certificates.c.not_after, certificates.c.serial, descending=True),
        State.REVOKED: _Order(revocations.c.revoked_at, revocations.c.serial, descending=True),
    }
)


def page(
    tx: Connection, wanted: Filter, now: datetime, *, after: Cursor | None = None, limit: int = 100
) -> Page:
    """At most ``limit`` certificates: newest first, the valid ones by what expires first."""
    order = _ORDERS[wanted.state]
    columns = (order.moment, order.serial)
    statement = RECORDED.where(*_conditions(wanted, now))
    if after is not None:
        statement = statement.where(_beyond(columns, after, order))
    ordered = statement.order_by(*(c.desc() if order.descending else c.asc() for c in columns))
    rows = tx.execute(ordered.limit(limit + 1)).all()
    entries = tuple(map(recorded_of, rows[:limit]))
    if len(rows) <= limit:
        return Page(entries, None)
    last = rows[limit - 1]
    return Page(entries, Cursor(last._mapping[order.moment], last.serial))


def _beyond(
    columns: tuple[Column[datetime], Column[str]], after: Cursor, order: _Order
) -> ColumnElement[bool]:
    here = tuple_(*columns)
    there = tuple_(literal(after.moment, Instant), after.serial)
    return here < there if order.descending else here > there


def _conditions(wanted: Filter, now: datetime) -> list[ColumnElement[bool]]:
    conditions = list(_STATES[wanted.state](now))
    if wanted.profile is not None:
        conditions.append(certificates.c.profile == wanted.profile)
    if wanted.name is not None:
        conditions.append(certificates.c.name == wanted.name)
    return conditions


_STATES: Mapping[State, Callable[[datetime], tuple[ColumnElement[bool], ...]]] = MappingProxyType(
    {
        State.ALL: lambda now: (),
        State.VALID: lambda now: (certificates.c.not_after > now, revocations.c.serial.is_(None)),
        State.EXPIRED: lambda now: (certificates.c.not_after <= now,),
        State.REVOKED: lambda now: (revocations.c.serial.is_not(None),),
    }
)
