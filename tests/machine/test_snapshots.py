"""A snapshot is of one moment, private, and leaves nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from keystead.machine import leftovers, sqlite
from keystead.machine.snapshots import snapshot


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        sqlite.prepare(connection)
        sqlite.use_wal(connection)
        connection.execute("CREATE TABLE numbers (number)")
        connection.executemany("INSERT INTO numbers VALUES (?)", [(n,) for n in range(1000)])
        yield connection


def count(connection: sqlite3.Connection) -> int:
    (number,) = connection.execute("SELECT count(*) FROM numbers").fetchone()
    assert isinstance(number, int)
    return number


def test_it_holds_what_its_transaction_sees_whatever_others_write(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    database.execute("BEGIN")
    assert count(database) == 1000
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
        other.execute("DELETE FROM numbers WHERE number < 500")
        with snapshot(database, tmp_path / "a.db") as file:
            other.execute("DELETE FROM numbers")
            (tmp_path / "copy.db").write_bytes(file.read())
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert count(copy) == 1000
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_it_has_no_name_while_it_is_read(tmp_path: Path, database: sqlite3.Connection) -> None:
    before = sorted(tmp_path.iterdir())
    with snapshot(database, tmp_path / "a.db"):
        assert sorted(tmp_path.iterdir()) == before
    assert sorted(tmp_path.iterdir()) == before


def test_a_copy_that_was_swept_before_it_was_locked_is_begun_anew(
    tmp_path: Path, database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_taken = leftovers.is_taken
    swept: list[str] = []

    def late(descriptor: int, path: str) -> bool:
        if not swept:
            leftovers.sweep(tmp_path)
            swept.append(path)
        return is_taken(descriptor, path)

    monkeypatch.setattr(leftovers, "is_taken", late)
    with snapshot(database, tmp_path / "a.db") as file:
        (tmp_path / "copy.db").write_bytes(file.read())
    assert swept
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert count(copy) == 1000
