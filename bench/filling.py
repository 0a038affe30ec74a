"""An inventory of a million records: as the tables would be after as many signings, made in a minute.

The records have random serial numbers and keys and one certificate's octets, and stand in the order of their
issuing over a year; the audit log has its tree. Not here: measuring.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from keystead.ca.audit.entry import Entry
from keystead.wire.merkle import Frontier, leaf_hash

GROUP = 20_000
YEAR = timedelta(days=365)
LIFETIME = timedelta(days=30)

_CERTIFICATE = (
    "INSERT INTO certificates (serial, kind, profile, name, key_fingerprint, csr_fingerprint, wishes, sans,"
    " not_before, not_after, issuer_serial, issued_at, der)"
    " VALUES (?, 'leaf', 'client', ?, ?, ?, ?, '', ?, ?, ?, ?, ?)"
)
_AUDIT = "INSERT INTO audit (seq, at, entry, leaf) VALUES (?, ?, ?, ?)"
_TREE = "UPDATE audit_tree SET size = ?, newest_at = ?, frontier = ?"
_CLAIM = "INSERT INTO keys (fingerprint, holder) VALUES (?, 'dev')"


def fill(home: Path, count: int) -> None:
    """Add ``count`` certificates to the environment ``dev`` of ``home``, which has signed one at least."""
    inventory = sqlite3.connect(home / "dev" / "inventory.db", isolation_level=None)
    claims = sqlite3.connect(home / "keys.db", isolation_level=None)
    for database in (inventory, claims):
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA cache_size = -1000000")
    now = datetime.now(UTC)
    step = YEAR / count
    for start in range(0, count, GROUP):
        moments = [now - YEAR + number * step for number in range(start, min(start + GROUP, count))]
        _fill_group(inventory, claims, start, moments)
    for database in (inventory, claims):
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()


def _fill_group(
    inventory: sqlite3.Connection, claims: sqlite3.Connection, start: int, moments: list[datetime]
) -> None:
    issuer, der = inventory.execute(
        "SELECT issuer_serial, der FROM certificates WHERE kind = 'leaf'"
    ).fetchone()
    rows = list(_rows(issuer, der, start, moments))
    inventory.execute("BEGIN IMMEDIATE")
    inventory.executemany(_CERTIFICATE, rows)
    inventory.executemany(
        "INSERT INTO identities VALUES ('client', ?, ?, ?, ?)",
        [(name, key, serial, not_after) for serial, name, key, _, _, _, not_after, *_ in rows],
    )
    _fill_log(inventory, rows, moments)
    inventory.execute("COMMIT")
    claims.execute("BEGIN IMMEDIATE")
    claims.executemany(_CLAIM, [(row[2],) for row in rows])
    claims.execute("COMMIT")


def _rows(issuer: str, der: bytes, start: int, moments: list[datetime]) -> Iterator[tuple[object, ...]]:
    for number, moment in enumerate(moments, start):
        issued, ends = int(moment.timestamp()), int((moment + LIFETIME).timestamp())
        keys = (secrets.token_hex(32), secrets.token_hex(32), secrets.token_hex(32))
        yield (secrets.token_hex(20), f"machine-{number:07}", *keys, issued - 300, ends, issuer, issued, der)


def _fill_log(inventory: sqlite3.Connection, rows: list[tuple[object, ...]], moments: list[datetime]) -> None:
    size, frontier = inventory.execute("SELECT size, frontier FROM audit_tree").fetchone()
    texts = [
        Entry(
            "bench", "certificate.issue", moment, "ok", str(row[0]), str(row[3]), f"client/{row[1]}"
        ).canonical()
        for row, moment in zip(rows, moments, strict=True)
    ]
    leaves = [leaf_hash(text.encode()) for text in texts]
    grown = Frontier.unpack(size, frontier).append(leaves)
    times = [int(moment.timestamp()) for moment in moments]
    inventory.executemany(_AUDIT, zip(range(size, grown.size), times, texts, leaves, strict=True))
    inventory.execute(_TREE, (grown.size, times[-1], grown.packed))
