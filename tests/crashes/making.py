"""What rounds begin with: copies of a machine, CSRs by the dozen, an inventory of the first schema."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from keystead.pki.keys import KeyType, generate
from tests.e2e.conftest import Machine
from tests.pki.makers import csr_pem


@contextmanager
def copied(machine: Machine) -> Iterator[Machine]:
    """A machine with all that ``machine`` has, for one round; it stays to be looked at where that fails."""
    folder = Path(tempfile.mkdtemp(prefix="round-", dir=machine.folder.parent))
    shutil.copytree(machine.folder, folder, dirs_exist_ok=True)
    yield replace(machine, folder=folder)
    shutil.rmtree(folder)


def write_csrs(folder: Path, names: Iterable[str]) -> None:
    """A CSR of a new key for each of ``names``, into ``folder``, which is made."""
    folder.mkdir()
    for name in names:
        (folder / f"{name}.csr").write_bytes(csr_pem(name, signer=generate(KeyType.P256)))


def take_back_to_the_first_schema(inventory: Path) -> None:
    """Make of an inventory what a keystead that knew revision 0001 alone would have in its place."""
    newer = inventory.rename(inventory.with_name("newer.db"))
    inventory.touch(0o600)
    config = Config()
    config.set_main_option("script_location", "keystead.ca.inventory:migrations")
    engine = create_engine(f"sqlite:///{inventory}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    with closing(sqlite3.connect(inventory, isolation_level=None)) as first:
        first.execute("ATTACH ? AS newer", (str(newer),))
        for table, columns in columns_of(inventory).items():
            first.execute(f"DELETE FROM main.{table}")
            first.execute(f"INSERT INTO main.{table} SELECT {', '.join(columns)} FROM newer.{table}")
        first.execute("DETACH newer")
        first.execute("PRAGMA journal_mode = WAL")
    for path in inventory.parent.glob("newer.db*"):
        path.unlink()


def columns_of(database: Path) -> dict[str, list[str]]:
    """The columns of each table, but for Alembic's own."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
            " WHERE m.type = 'table' AND m.name != 'alembic_version' ORDER BY m.name, c.cid"
        )
        columns: dict[str, list[str]] = {}
        for table, column in rows:
            columns.setdefault(table, []).append(column)
    return columns
