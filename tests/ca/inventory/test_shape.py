"""An inventory is known by what its tables do, whoever spelled them; what acts by itself is found."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine

from keystead.ca.inventory.shape import differences
from keystead.ca.inventory.store import create_inventory, open_inventory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_inventory(tmp_path / "inventory.db").close()
    return tmp_path / "inventory.db"


def found_in(path: Path) -> tuple[str, ...]:
    with open_inventory(path) as inventory, inventory.reading() as tx:
        return differences(tx)


def run(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(script)


def respelled(path: Path, table: str, old: str, new: str) -> None:
    """The statement of a table as another hand writes it."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA writable_schema = ON")
        statement = "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE name = ? AND instr(sql, ?)"
        assert database.execute(statement, (old, new, table, old)).rowcount == 1
        database.commit()


def test_a_new_inventory_differs_in_nothing(path: Path) -> None:
    assert found_in(path) == ()


@contextmanager
def opened(path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as tx:
        yield tx
    engine.dispose()


def test_an_inventory_that_was_migrated_from_the_first_schema_on_differs_in_nothing(tmp_path: Path) -> None:
    path = tmp_path / "inventory.db"
    with opened(path) as tx:
        config = Config()
        config.set_main_option("script_location", "keystead.ca.inventory:migrations")
        config.attributes["connection"] = tx
        command.upgrade(config, "0001")
    assert found_in(path) == ()


def test_a_column_that_a_migration_added_at_the_end_is_the_same_column(path: Path) -> None:
    run(path, 'ALTER TABLE certificates DROP COLUMN wishes; ALTER TABLE certificates ADD "wishes" text')
    assert found_in(path) == ()


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        ("revocations", "reason TEXT NOT NULL", '\n "reason" text  not\tnull'),
        (
            "certificates",
            "CHECK (kind IN ('root', 'issuing', 'leaf'))",
            "check(\"kind\" in ('root','issuing','leaf'))",
        ),
        ("certificates_renews", "WHERE renews IS NOT NULL", 'where "renews" is not null'),
    ],
)
def test_another_spelling_is_the_same_table(path: Path, table: str, old: str, new: str) -> None:
    respelled(path, table, old, new)
    assert found_in(path) == ()


@pytest.mark.parametrize(
    ("table", "old", "new", "told"),
    [
        ("revocations", "reason TEXT NOT NULL", "reason TEXT NOT NULL ON/**/CONFLICT IGNORE", "ON CONFLICT"),
        ("revocations", "reason TEXT NOT NULL", "reason TEXT NOT NULL COLLATE NOCASE", "COLLATE"),
        ("revocations", "reason TEXT NOT NULL", "reason TEXT NOT NULL DEFAULT 'x'", "default 'x'"),
        ("revocations", "reason TEXT NOT NULL", "reason INTEGER NOT NULL", "column reason INTEGER"),
        ("revocations", "reason TEXT NOT NULL", "reason TEXT NOT NULL CHECK (reason > 'k')", "CHECK"),
        ("certificates", "('root', 'issuing', 'leaf')", "('root', 'issuing', 'Leaf', 'leaf')", "CHECK"),
        ("certificates", "'leaf')", "'LEAF')", "CHECK"),
        ("identities", "WITHOUT ROWID", "", "create table identities (…)"),
        ("certificates_renews", "WHERE renews IS NOT NULL", "WHERE serial IS NOT NULL", "where serial"),
    ],
)
def test_what_makes_a_table_behave_otherwise_is_found(
    path: Path, table: str, old: str, new: str, told: str
) -> None:
    respelled(path, table, old, new)
    assert any(told in sentence for sentence in found_in(path)), found_in(path)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("ALTER TABLE revocations ADD COLUMN evil AS (1)", "column evil"),
        ("ALTER TABLE revocations ADD COLUMN evil TEXT", "column evil"),
        ("CREATE INDEX evil ON revocations (upper(reason))", "index evil ((expression)"),
        ("CREATE INDEX evil ON revocations (reason) WHERE reason = 'x'", "index evil"),
        ("CREATE INDEX evil ON revocations (reason COLLATE NOCASE)", "index evil"),
        ("DROP INDEX identities_key", "it lacks table identities: index identities_key"),
        ("CREATE TRIGGER evil AFTER INSERT ON audit BEGIN SELECT 1; END", "trigger evil"),
        ("CREATE VIEW evil AS SELECT 1", "view evil"),
        ("CREATE TABLE evil (x)", "table evil"),
        ("CREATE VIRTUAL TABLE evil USING fts5(x)", "create virtual table evil"),
        ("DROP TABLE carried_revocations", "it lacks table carried_revocations"),
    ],
)
def test_what_is_not_an_inventorys_is_found(path: Path, script: str, told: str) -> None:
    run(path, script)
    found = "\n".join(found_in(path))
    assert told in found
