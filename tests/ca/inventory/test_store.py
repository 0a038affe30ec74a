"""Opening the inventory: private, durable, migrated once, and never a newer one."""

from __future__ import annotations

import multiprocessing
import sqlite3
import stat
import subprocess
import sys
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from keystead.ca.inventory import writes
from keystead.ca.inventory.migrations import REVISIONS
from keystead.ca.inventory.rows import Issue
from keystead.ca.inventory.schema import metadata
from keystead.ca.inventory.shape import differences
from keystead.ca.inventory.store import Inventory, create_inventory, open_inventory
from keystead.errors import AlreadyThere, BadInput, NotThere, Unavailable
from keystead.machine import sqlite
from tests.ca.inventory.sample import certificate, root


def test_the_file_is_private_and_so_is_what_sqlite_puts_beside_it(inventory: Inventory) -> None:
    with inventory.reading():
        files = list(inventory.path.parent.glob("inventory.db*"))
    assert {path.name.removeprefix("inventory.db") for path in files} >= {"", "-wal", "-shm"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("temp_store", 2)]
)
def test_every_connection_is_durable_and_checks_what_refers_to_what(
    inventory: Inventory, pragma: str, value: object
) -> None:
    with inventory.writing() as tx:
        assert tx.execute(text(f"PRAGMA {pragma}")).scalar() == value


def test_a_closed_inventory_is_one_file_that_can_be_copied(tmp_path: Path) -> None:
    create_inventory(tmp_path / "inventory.db").close()
    assert not list(tmp_path.glob("*-wal"))


def test_an_inventory_is_made_over_nothing(inventory: Inventory) -> None:
    with pytest.raises(AlreadyThere):
        create_inventory(inventory.path)


def test_an_inventory_that_is_missing_is_not_made_by_opening_it(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match=r"inventory\.db"):
        open_inventory(tmp_path / "inventory.db")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_database_is_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "inventory.db").write_bytes(b"not a database" * 100)
    with pytest.raises(BadInput, match="damaged"):
        open_inventory(tmp_path / "inventory.db")


def test_a_newer_schema_is_refused_and_left_alone(inventory: Inventory) -> None:
    with inventory.writing() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable, match="newer keystead"):
        open_inventory(inventory.path)


def test_an_error_in_a_transaction_undoes_all_of_it(inventory: Inventory) -> None:
    with pytest.raises(RuntimeError), inventory.writing() as tx:
        writes.record(tx, [Issue(certificate("01"))])
        raise RuntimeError
    with inventory.reading() as tx:
        assert tx.execute(text("SELECT count(*) FROM certificates")).scalar() == 1


def test_a_reader_sees_one_moment_while_another_writes(inventory: Inventory) -> None:
    count = text("SELECT count(*) FROM certificates")
    with inventory.reading() as before:
        assert before.execute(count).scalar() == 1
        with inventory.writing() as tx:
            writes.record(tx, [Issue(certificate("01"))])
        assert before.execute(count).scalar() == 1
    with inventory.reading() as after:
        assert after.execute(count).scalar() == 2


def test_a_second_writer_that_has_waited_in_vain_is_told(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_PRAGMAS", ("busy_timeout = 1",))
    with (
        open_inventory(inventory.path) as impatient,
        inventory.writing(),
        pytest.raises(Unavailable, match="another process"),
        impatient.writing(),
    ):
        pass


def test_the_migrations_make_the_tables_that_the_code_knows(inventory: Inventory, tmp_path: Path) -> None:
    with inventory.reading() as tx:
        assert compare_metadata(MigrationContext.configure(tx), metadata) == []
        migrated = _sql(tx.connection.dbapi_connection)
    engine = create_engine(f"sqlite:///{tmp_path / 'direct.db'}")
    metadata.create_all(engine)
    with engine.connect() as connection:
        assert _sql(connection.connection.dbapi_connection) == migrated
    engine.dispose()


def _sql(connection: object) -> set[str]:
    assert isinstance(connection, sqlite3.Connection)
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE name NOT LIKE 'alembic%' AND sql NOT NULL")
    return {" ".join(sql.split()) for (sql,) in rows}


def test_the_code_knows_every_migration() -> None:
    scripts = ScriptDirectory(str(Path(sys.modules["keystead.ca.inventory.migrations"].__path__[0])))
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == REVISIONS


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_inventory_of_any_older_keystead_becomes_one_of_this(tmp_path: Path, revision: str) -> None:
    path = tmp_path / "inventory.db"
    config = Config()
    config.set_main_option("script_location", "keystead.ca.inventory:migrations")
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as config.attributes["connection"]:
        command.upgrade(config, revision)
    engine.dispose()
    with open_inventory(path) as opened, opened.writing() as tx:
        writes.record(tx, [Issue(root())])
        assert compare_metadata(MigrationContext.configure(tx), metadata) == []
        assert differences(tx) == ()
        assert tx.execute(text("SELECT version_num FROM alembic_version")).scalar() == REVISIONS[-1]


@pytest.mark.slow
def test_opening_a_current_inventory_does_not_load_alembic(inventory: Inventory) -> None:
    script = (
        "import sys; from pathlib import Path; from keystead.ca.inventory.store import open_inventory;"
        f"open_inventory(Path({str(inventory.path)!r})).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def _open(path: Path, barrier: Barrier) -> None:
    barrier.wait(30)
    open_inventory(path).close()


@pytest.mark.slow
def test_processes_that_open_a_new_inventory_at_once_all_find_it_ready(tmp_path: Path) -> None:
    path = tmp_path / "inventory.db"
    path.touch(0o600)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    processes = [context.Process(target=_open, args=(path, barrier)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
