"""Many rows and many keys in one statement each.

SQLAlchemy's own ways convert each value, and name each parameter, through layers that cost more than the
database's work; the statements are its own all the same. Not here: which rows and keys (`reads`, `writes`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Dialect, Table, func, insert, select
from sqlalchemy.types import TypeDecorator


def among(column: Column[str], values: Iterable[str]) -> ColumnElement[bool]:
    """Whether ``column`` is one of ``values``: however many, they are one parameter, a JSON array."""
    listed = func.json_each(json.dumps(list(values))).table_valued("value", name="asked")
    return column.in_(select(listed.c.value))


def insert_rows(tx: Connection, table: Table, rows: Iterable[Sequence[Any]], *, skip: int = 0) -> None:
    """Insert ``rows``, each the values of the table's columns in their order, without the first ``skip``."""
    plan = _plan(table, skip, tx.dialect)
    if stored := [plan.stored(row) for row in rows]:
        tx.exec_driver_sql(plan.statement, stored)


@dataclass(frozen=True, slots=True)
class _Plan:
    statement: str
    conversions: tuple[tuple[int, Callable[[Any], Any]], ...]

    def stored(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """The values as the database holds them."""
        values = list(row)
        for place, convert in self.conversions:
            values[place] = convert(values[place])
        return tuple(values)


@cache
def _plan(table: Table, skip: int, dialect: Dialect) -> _Plan:
    columns = list(table.c)[skip:]
    statement = insert(table).compile(dialect=dialect, column_keys=[column.name for column in columns])
    return _Plan(
        str(statement),
        tuple(
            (place, _conversion(column.type, dialect))
            for place, column in enumerate(columns)
            if isinstance(column.type, TypeDecorator)
        ),
    )


def _conversion(kind: TypeDecorator[Any], dialect: Dialect) -> Callable[[Any], Any]:
    return lambda value: kind.process_bind_param(value, dialect)
