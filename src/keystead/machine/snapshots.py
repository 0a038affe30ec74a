"""A SQLite database as it stood at one moment, copied while others go on writing.

The copy lies beside the database, where the same accounts may look, and has no name: a kill leaves nothing.
Not here: what is in it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import FileIO
from pathlib import Path

from keystead.machine import sqlite
from keystead.machine.files import PRIVATE
from keystead.machine.leftovers import begin, sweep
from keystead.machine.oserrors import told


@contextmanager
def snapshot(source: sqlite3.Connection, path: Path) -> Iterator[FileIO]:
    """What ``source``, a connection to the database at ``path``, sees in the transaction that it has open.

    The copy is open for reading, at its beginning. Raises `Unavailable` where there is no room for it.
    """
    sweep(path.parent)
    with told(path, "copy"):
        descriptor, beside = begin(str(path.parent), path.name, PRIVATE)
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - pathlib opens no descriptor
        with sqlite.told(path), closing(sqlite3.connect(beside)) as copy:
            Path(beside).unlink()  # SQLite has it open
            copy.execute("PRAGMA journal_mode = OFF").close()  # nobody will look at half of it
            copy.execute("PRAGMA synchronous = OFF").close()
            source.backup(copy)
        yield file
