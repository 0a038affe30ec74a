"""SQLite as keystead opens it: private, durable, patient; and what it says no with, as keystead's errors.

Not here: tables and queries. No database toolkit either: `prepare` takes any open sqlite3 connection.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

from keystead.errors import BadInput, KeysteadError, NotThere, Unavailable
from keystead.machine.files import write_new

BUSY = timedelta(seconds=30)
"""How long a writer waits for another writer's transaction."""

_POLL = 0.02
_SIDE_FILE = 64 * 1024
"""Where less than this is free, SQLite cannot make its side files, and calls that an I/O error."""

_PRAGMAS = (
    f"busy_timeout = {int(BUSY.total_seconds() * 1000)}",
    "synchronous = FULL",
    "foreign_keys = ON",
    # A batch touches random pages of every index: they are kept, and written back a few times, not many.
    "cache_size = -65536",
    "wal_autocheckpoint = 8000",
    "temp_store = MEMORY",  # nothing of it goes to /tmp
    "trusted_schema = OFF",
    "cell_size_check = ON",
)


@dataclass(frozen=True, slots=True)
class _Trouble:
    kind: type[KeysteadError]
    why: str
    mend: str


_FROM_BACKUP = "keystead doctor says how it comes back from a backup"

_LOCKED = _Trouble(
    Unavailable,
    f"another process has been writing to it for more than {BUSY.total_seconds():g} s",
    "wait for the other command to end, then run this one again",
)
_DENIED = _Trouble(
    Unavailable, "this account may not write there", "run as the owner; look at: ls -l {path}*"
)
_FULL = _Trouble(Unavailable, "the disk is full", "make room there, then run the command again")
_DAMAGED = _Trouble(
    BadInput,
    "the file is damaged, or is no SQLite database",
    _FROM_BACKUP,
)
_READ_ONLY = _Trouble(
    Unavailable, "the file system is read-only", "make it writable, then run the command again"
)
_BY_NAME: Mapping[str, _Trouble] = MappingProxyType(
    {
        "SQLITE_BUSY": _LOCKED,
        "SQLITE_LOCKED": _LOCKED,
        "SQLITE_FULL": _FULL,
        "SQLITE_READONLY": _DENIED,
        "SQLITE_CANTOPEN": _DENIED,
        "SQLITE_PERM": _DENIED,
        "SQLITE_CORRUPT": _DAMAGED,
        "SQLITE_NOTADB": _DAMAGED,
        "SQLITE_IOERR": _Trouble(Unavailable, "the disk reports an error", "look at: dmesg | tail"),
        "SQLITE_NOMEM": _Trouble(Unavailable, "there is not enough memory", "close other programs"),
    }
)


def create_file(path: Path) -> None:
    """Make the empty file of a new database, mode 0600, which SQLite's side files then take over."""
    write_new(path, b"")


def check_file(path: Path) -> None:
    """Raise `NotThere` where ``path`` is no file: SQLite would silently make an empty database of it."""
    if not path.is_file():
        raise NotThere(
            f"there is no {path}",
            why="the database of the CA is missing",
            mend=_FROM_BACKUP,
        )


def prepare(connection: sqlite3.Connection) -> None:
    """Set what holds for one connection; the journal mode, which the file remembers, is `use_wal`'s."""
    connection.isolation_level = None  # BEGIN is ours to say: sqlite3 would begin deferred, and too late
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()


def use_wal(connection: sqlite3.Connection) -> None:
    """Make the file's journal a write-ahead log: readers and one writer side by side. Once, at its making."""
    deadline = time.monotonic() + BUSY.total_seconds()
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
        except sqlite3.OperationalError as error:
            # For this one change SQLite does not wait by itself, whatever its busy_timeout.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(_POLL)
        else:
            return


def explain(error: sqlite3.Error, path: Path) -> KeysteadError:
    """The error to raise where SQLite failed on ``path`` with ``error``."""
    name = "_".join((getattr(error, "sqlite_errorname", None) or "").split("_")[:2])
    trouble = _of_the_disk(name, path.parent) or _BY_NAME.get(name)
    if trouble is None:
        return Unavailable(
            f"the database {path} failed", why=str(error), mend=f"look at: ls -l {shlex.quote(str(path))}*"
        )
    return trouble.kind(
        f"cannot use {path}", why=trouble.why, mend=trouble.mend.format(path=shlex.quote(str(path)))
    )


def _of_the_disk(name: str, folder: Path) -> _Trouble | None:
    """What SQLite does not tell: it calls a full disk an I/O error, and a read-only one a lack of rights."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    if name == "SQLITE_IOERR" and disk.f_bavail * disk.f_frsize < _SIDE_FILE:
        return _FULL
    if _BY_NAME.get(name) is _DENIED and disk.f_flag & os.ST_RDONLY:
        return _READ_ONLY
    return None


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Any sqlite3 error of the body is raised as `explain` words it."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(error, path) from error
