"""Opens the inventory and hands out its transactions.

Not here: what is asked (`reads`, `listing`) and written (`writes`) in them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from keystead.ca.inventory.migrations import REVISIONS, upgrade
from keystead.errors import Unavailable
from keystead.machine import sqlite
from keystead.machine.locks import hold

_BEGIN = "keystead_begin"


@dataclass(frozen=True, slots=True)
class Inventory:
    """One environment's database, open. Close it, or use it as a context manager."""

    path: Path
    _engine: Engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view of everything, for the time of the body."""
        with _told(self.path), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """The one writer, for the time of the body; durable at its end, undone where it raises."""
        writer = self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        with _told(self.path), writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def create_inventory(path: Path) -> Inventory:
    """Make a new, empty inventory, mode 0600; `AlreadyThere` where ``path`` exists."""
    sqlite.create_file(path)
    return open_inventory(path)


def open_inventory(path: Path) -> Inventory:
    """Open the inventory at ``path``, bringing an older schema up to this keystead's.

    Raises `NotThere` where there is none, `BadInput` where it is damaged, `Unavailable` where a newer
    keystead has written it.
    """
    sqlite.check_file(path)
    inventory = Inventory(path, _engine(path))
    try:
        _bring_up_to_date(inventory)
    except BaseException:
        inventory.close()
        raise
    return inventory


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path.absolute()}")

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        sqlite.prepare(connection)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))

    return engine


def _bring_up_to_date(inventory: Inventory) -> None:
    with inventory.reading() as tx:
        if _is_current(tx, inventory.path):
            return
    lock = inventory.path.with_name(inventory.path.name + ".lock")
    with hold(lock, f"bringing {inventory.path.name} up to date", wait=sqlite.BUSY):
        _use_wal(inventory)
        with inventory.writing() as tx:
            if not _is_current(tx, inventory.path):
                upgrade(tx)


def _is_current(tx: Connection, path: Path) -> bool:
    if not inspect(tx).has_table("alembic_version"):
        return False
    found = tx.scalar(text("SELECT version_num FROM alembic_version"))
    if found is not None and found not in REVISIONS:
        raise Unavailable(
            f"{path} was written by a newer keystead",
            why=f"its schema is {found}, and this keystead knows up to {REVISIONS[-1]}",
            mend="install the newer keystead on this machine",
            code="newer-schema",
        )
    return bool(found == REVISIONS[-1])


def _use_wal(inventory: Inventory) -> None:
    raw = inventory._engine.raw_connection()
    with sqlite.told(inventory.path):
        try:
            driver: Any = raw.driver_connection
            sqlite.use_wal(driver)
        finally:
            raw.close()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        with sqlite.told(path):
            yield
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise sqlite.explain(error.orig, path) from error
        raise Unavailable(f"the database {path} failed", why=str(error.orig)) from error
