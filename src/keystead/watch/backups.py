"""When each environment of a CA's home was last backed up, and what was issued since: from its audit log.

Reads the databases by sqlite3 alone, so that whoever has no CA does not load what a CA needs. Not here:
taking one (`ca.procedures`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from keystead.ca.audit.entry import BACKED_UP, RESTORED
from keystead.ca.layout import INVENTORY
from keystead.machine import sqlite
from keystead.machine.oserrors import told

_THROWN_AWAY: Final = "dev"
"""The environment that is for tests: nobody has to back it up."""

# Inside a JSON string every quotation mark is escaped: what an entry quotes cannot look like these.
_EXPORT, _IMPORT = f'"what":"{BACKED_UP}"', f'"what":"{RESTORED}"'
_DONE = """SELECT entry FROM audit WHERE instr(entry, '"result":"ok"')
    AND (instr(entry, ?) OR instr(entry, ?)) ORDER BY seq DESC LIMIT 1"""
_BEGUN = """SELECT seq, at FROM audit WHERE instr(entry, ?) AND instr(entry, ?)
    AND instr(entry, '"result":"begun"') LIMIT 1"""
_SINCE = """SELECT coalesce(sum(instr(entry, '"what":"certificate.issue"') > 0), 0),
    coalesce(sum(instr(entry, '"what":"certificate.revoke"') > 0), 0)
    FROM audit WHERE seq > ? AND instr(entry, '"result":"ok"')"""


@dataclass(frozen=True, slots=True)
class Backup:
    """The last backup of an environment: ``taken`` is None where there never was one.

    ``issued`` and ``revoked`` count what it does not know.
    """

    environment: str
    taken: datetime | None
    issued: int
    revoked: int

    @property
    def is_behind(self) -> bool:
        """Whether the machine's loss would be one: in dev only where somebody began to take backups."""
        if self.taken is None:
            return self.environment != _THROWN_AWAY
        return self.issued > 0


def backups_in(home: Path) -> tuple[Backup, ...]:
    """The last backup of each environment in ``home``; those whose inventory cannot be read are left out."""
    with told(home, "read"):
        if not home.is_dir():
            return ()
        places = sorted(found.parent for found in home.glob("[a-z]*/inventory.db"))
    return tuple(found for place in places for found in _last(place))


def _last(place: Path) -> Iterator[Backup]:
    try:
        with closing(sqlite3.connect(place / INVENTORY)) as connection:
            sqlite.prepare(connection)
            connection.execute("PRAGMA query_only = ON").close()
            yield _read(connection, place.name)
    except sqlite3.Error:
        return  # what is wrong with it is doctor's to say


def _read(connection: sqlite3.Connection, environment: str) -> Backup:
    seq, taken = -1, None
    done = connection.execute(_DONE, (_EXPORT, _IMPORT)).fetchone()
    if done is not None:
        name = json.loads(done[0]).get("request", "")
        begun = connection.execute(_BEGUN, (_EXPORT, f'"request":"{name}"')).fetchone()
        if begun is not None:
            seq, taken = begun[0], datetime.fromtimestamp(begun[1], UTC)
    issued, revoked = connection.execute(_SINCE, (seq,)).fetchone()
    return Backup(environment, taken, issued, revoked)
