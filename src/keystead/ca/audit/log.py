"""The audit log: appended to in the transaction of what it tells of, and verified whole.

Every entry is a leaf of a Merkle tree (RFC 9162) whose frontier is kept beside them, so that appending to a
million entries costs what appending to none does. Who can rewrite the whole database can rewrite the tree
as well: against that the root must be known elsewhere. Not here: what is worth an entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.exc import NoResultFound

from keystead.ca.audit.entry import CLOCK_ACCEPTED, Entry
from keystead.ca.inventory.bulk import insert_rows
from keystead.ca.inventory.schema import audit, audit_tree
from keystead.errors import KeysteadError, Unavailable
from keystead.pki.expiry import CLOCK_TOLERANCE, when
from keystead.wire.merkle import Frontier, leaf_hash

_PIECE = 1000
_UNREADABLE = (ValueError, TypeError, OverflowError, AttributeError, OSError)
"""What a column of another type than was once written makes of itself."""


class Tampered(KeysteadError):
    """The audit log is not what was once written; ``what`` names the first entry that is wrong."""

    code = "audit-tampered"

    def __init__(self, what: str, *, why: str = "") -> None:
        mend = "treat this machine as broken into; compare the database with its last copy"
        super().__init__(what, why=why, mend=mend)


@dataclass(frozen=True, slots=True)
class Numbered:
    """An entry and its place in the log, from 0."""

    seq: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Verified:
    """A head of the log: how many entries, the root over them, and the newest time in it."""

    size: int
    root: bytes
    newest: datetime | None


def append(tx: Connection, entries: Sequence[Entry]) -> None:
    """Add ``entries``, in order, inside the writing transaction ``tx``: both last, or neither does."""
    if not entries:
        return
    frontier, newest = _tree(tx)
    texts = [entry.canonical() for entry in entries]
    leaves = [leaf_hash(text.encode()) for text in texts]
    numbers = range(frontier.size, frontier.size + len(entries))
    times = (entry.when for entry in entries)
    for entry in entries:
        newest = _newer(newest, entry)
    grown = frontier.append(leaves)
    insert_rows(tx, audit, zip(numbers, times, texts, leaves, strict=True))
    tx.execute(update(audit_tree).values(size=grown.size, newest_at=newest, frontier=grown.packed))


def newest(tx: Connection) -> datetime | None:
    """The newest time in the log; None where it is empty."""
    return _tree(tx)[1]


def head(tx: Connection) -> Verified:
    """The newest head as it is kept: `verify` says whether the entries are those that it is over."""
    kept, kept_newest = _tree(tx)
    return Verified(kept.size, kept.root, kept_newest)


def recorded_at(tx: Connection, now: datetime) -> datetime:
    """``now``, but never before the newest entry: for what is recorded even where the clock went back."""
    last = newest(tx)
    return now if last is None else max(now, last)


def check_clock(tx: Connection, now: datetime) -> None:
    """Raise `Unavailable` where ``now`` is more than five minutes before the newest entry.

    A CA whose clock went back would sign what is expired already, and CRLs that nobody takes.
    """
    last = newest(tx)
    if last is not None and now < last - CLOCK_TOLERANCE:
        raise Unavailable(
            "nothing is signed: the clock of this machine went back",
            why=f"it says {when(now)}, and the newest entry of the audit log is of {when(last)}",
            mend="set the clock; if that entry's time was the wrong one: keystead ca audit --accept-clock",
            code="clock-went-back",
        )


def entries(tx: Connection, start: int = 0) -> Iterator[Numbered]:
    """The entries from number ``start`` on; `Tampered` at the first that is none."""
    statement = select(audit).where(audit.c.seq >= start).order_by(audit.c.seq)
    for row in tx.execute(statement.execution_options(yield_per=_PIECE)):
        yield Numbered(row.seq, _parse(row.seq, row.entry))


def tells_of(tx: Connection, what: str, request: str) -> bool:
    """Whether an entry says that ``what`` was done for ``request``."""
    said = [func.json_extract(audit.c.entry, f"$.{part}") for part in ("what", "request")]
    return tx.scalar(select(audit.c.seq).where(said[0] == what, said[1] == request).limit(1)) is not None


def verify(tx: Connection) -> Verified:
    """Read the whole log and hash it again; `Tampered`, naming the first entry that is wrong."""
    kept, kept_newest = _tree(tx)
    found, found_newest = _replay(tx)
    if found.size != kept.size:
        raise Tampered(f"the audit log holds {found.size} entries, and {kept.size} were written")
    if found != kept:
        raise Tampered("the audit log's tree is not the one over its entries")
    if found_newest != kept_newest:
        raise Tampered("the newest time that the audit log keeps is in none of its entries")
    return Verified(found.size, found.root, found_newest)


def _replay(tx: Connection) -> tuple[Frontier, datetime | None]:
    frontier, last = Frontier(), None
    rows = tx.execute(select(audit).order_by(audit.c.seq).execution_options(yield_per=_PIECE))
    try:
        for part in rows.partitions():
            for seq, row in enumerate(part, frontier.size):
                last = _newer(last, _checked(seq, row, last))
            frontier = frontier.append(row.leaf for row in part)
    except _UNREADABLE as error:
        raise Tampered(f"an entry from {frontier.size} on cannot be read", why=str(error)) from error
    return frontier, last


def _checked(seq: int, row: Row[*tuple[Any, ...]], last: datetime | None) -> Entry:
    if row.seq != seq:
        raise Tampered(f"entry {seq} of the audit log is missing")
    if leaf_hash(row.entry.encode()) != row.leaf:
        raise Tampered(f"entry {seq} of the audit log was changed: it does not have its hash")
    entry = _parse(seq, row.entry)
    if row.at != entry.when:
        raise Tampered(f"entry {seq} of the audit log was changed: it stands at another time")
    if last is not None and entry.when < last - CLOCK_TOLERANCE and entry.what != CLOCK_ACCEPTED:
        raise Tampered(f"entry {seq} of the audit log is older than the one before it")
    return entry


def _parse(seq: int, text: str) -> Entry:
    try:
        return Entry.parse(text)
    except ValueError as error:
        raise Tampered(f"entry {seq} of the audit log was changed: {error}") from error


def _newer(last: datetime | None, entry: Entry) -> datetime:
    when = entry.when.replace(microsecond=0)
    return when if last is None or entry.what == CLOCK_ACCEPTED else max(last, when)


def _tree(tx: Connection) -> tuple[Frontier, datetime | None]:
    try:
        row = tx.execute(select(audit_tree).with_for_update()).one()
        return Frontier.unpack(row.size, row.frontier), row.newest_at
    except (*_UNREADABLE, NoResultFound) as error:
        raise Tampered("the audit log's tree is damaged", why=str(error)) from error
