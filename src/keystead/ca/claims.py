"""HOME/keys.db: which environment of this machine a key belongs to, and which keys are compromised.

Claimed immediately before signing, so that no key is ever certified in two environments. Two columns, so it
is plain sqlite3. Not here: certificates and identities, which each environment's inventory has.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from keystead.errors import AlreadyThere, NotThere
from keystead.machine import sqlite

COMPROMISED: Final = "(compromised)"
"""Holds a key that is barred for ever; no environment can have this name."""

_SCHEMA = "CREATE TABLE IF NOT EXISTS keys (fingerprint TEXT PRIMARY KEY, holder TEXT NOT NULL) WITHOUT ROWID"
# However many keys there are, they are one parameter: a JSON array.
_CLAIM = "INSERT INTO keys SELECT value, :holder FROM json_each(:keys) WHERE true ON CONFLICT DO NOTHING"
_HOLDERS = "SELECT fingerprint, holder FROM keys WHERE fingerprint IN (SELECT value FROM json_each(:keys))"
_TABLE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'keys'"
_WHOLE = "SELECT count(*), count(DISTINCT holder) FROM keys"
_BAR = (
    "INSERT INTO keys (fingerprint, holder) VALUES (?, ?) ON CONFLICT DO UPDATE SET holder = excluded.holder"
)


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of one machine, open. Close it, or use it as a context manager.

    Keys are named by fingerprint: lower-case hex, whole.
    """

    path: Path
    _connection: sqlite3.Connection

    def claim(self, fingerprints: Iterable[str], environment: str) -> Mapping[str, str]:
        """Claim for ``environment`` each key that is free; what holds each of them afterwards.

        A key whose holder is not ``environment`` was not free: another environment, or `COMPROMISED`.
        Durable on return.
        """
        wanted = tuple(fingerprints)
        with self._writing():
            self._connection.execute(_CLAIM, {"keys": json.dumps(wanted), "holder": environment})
            return self._lookup(wanted)

    def mark_compromised(self, fingerprints: Iterable[str]) -> None:
        """Bar keys for ever, whoever holds them; durable on return."""
        with self._writing():
            self._connection.executemany(_BAR, [(fingerprint, COMPROMISED) for fingerprint in fingerprints])

    def holders(self, fingerprints: Iterable[str]) -> Mapping[str, str]:
        """What holds each of the keys: an environment or `COMPROMISED`; free ones are left out."""
        with sqlite.told(self.path):
            return self._lookup(tuple(fingerprints))

    def held_by(self, holder: str) -> Iterator[str]:
        """Every key that ``holder`` has, in order."""
        with sqlite.told(self.path):
            query = "SELECT fingerprint FROM keys WHERE holder = ? ORDER BY fingerprint"
            for (fingerprint,) in self._connection.execute(query, (holder,)):
                yield fingerprint

    def _lookup(self, fingerprints: tuple[str, ...]) -> dict[str, str]:
        return dict(self._connection.execute(_HOLDERS, {"keys": json.dumps(fingerprints)}))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with sqlite.told(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def create_claims(path: Path) -> Claims:
    """The claims at ``path``, made (mode 0600) where there are none; what a kill left is completed."""
    with suppress(AlreadyThere):
        sqlite.create_file(path)

    def make(connection: sqlite3.Connection) -> None:
        sqlite.use_wal(connection)
        connection.execute(_SCHEMA).close()

    return _open(path, make)


def open_claims(path: Path) -> Claims:
    """The claims at ``path``, which must be there: made anew, they would hold nobody's key and bar none.

    Raises `NotThere` where there is no such file, or no claims in it; `BadInput` where it is damaged.
    """
    sqlite.check_file(path)

    def look(connection: sqlite3.Connection) -> None:
        if connection.execute(_TABLE).fetchone() is None:
            raise NotThere(f"there are no claims in {path}", why="it is an empty database")

    return _open(path, look)


def read_claims(path: Path) -> Claims:
    """The claims at ``path``, to be looked at: nothing is made, nothing can be changed.

    Raises `NotThere` where there is no such file, `BadInput` where it is damaged.
    """
    sqlite.check_file(path)

    def read(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA query_only = ON").close()
        connection.execute(_WHOLE).close()

    return _open(path, read)


def _open(path: Path, begin: Callable[[sqlite3.Connection], None]) -> Claims:
    with sqlite.told(path):
        connection = sqlite3.connect(path)
        try:
            sqlite.prepare(connection)
            begin(connection)
        except BaseException:
            connection.close()
            raise
    return Claims(path, connection)
