"""An environment of a CA's home as doctor sees it, read once; what cannot be read is the error that says so.

Imports the CA's wing, and with it the database. Not here: what of it is wrong (`authority`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from cryptography import x509

from keystead.ca.audit import log
from keystead.ca.authority.model import Charter
from keystead.ca.claims import COMPROMISED, Claims, read_claims
from keystead.ca.home import Home, read_charter
from keystead.ca.inventory import reads
from keystead.ca.inventory.store import Inventory, open_inventory
from keystead.ca.layout import INVENTORY, LISTS
from keystead.errors import KeysteadError, NotThere
from keystead.machine.oserrors import told
from keystead.subscriber.folder import read_crls
from keystead.watch.backups import Backup, backups_in
from keystead.watch.doctor.checks import Seen

Crl = x509.CertificateRevocationList
Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Records:
    """What the inventory says: the state of its audit log, and the serials revoked under the issuing CA."""

    audit: log.Verified | log.Tampered
    revoked: frozenset[int]


@dataclass(frozen=True, slots=True)
class Office:
    """One environment of a CA's home, at one moment.

    ``unclaimed`` counts the keys of its inventory that ``keys.db`` does not know as its own, nor as barred.
    """

    home: Home
    environment: str
    charter: Charter | KeysteadError
    records: Records | KeysteadError
    crls: tuple[Crl, ...] | KeysteadError
    unclaimed: int | KeysteadError
    backups: tuple[Backup, ...]
    now: datetime

    @property
    def folder(self) -> Path:
        """Where the environment lies."""
        return self.home.folder(self.environment)

    @property
    def charters(self) -> tuple[Charter, ...]:
        """The charter, where it could be read."""
        return () if isinstance(self.charter, KeysteadError) else (self.charter,)

    @property
    def books(self) -> tuple[Records, ...]:
        """The records, where they could be read."""
        return () if isinstance(self.records, KeysteadError) else (self.records,)

    @property
    def lists(self) -> tuple[Crl, ...]:
        """The revocation lists; none where they could not be read."""
        return () if isinstance(self.crls, KeysteadError) else self.crls

    def seen(self, name: str, detail: str = "") -> Seen:
        """This environment in a finding about its file ``name``."""
        return self.seen_at(self.folder / name, detail)

    def seen_at(self, path: Path, detail: str = "") -> Seen:
        """This environment in a finding about any file of the home."""
        return Seen(path, detail, name=str(self.home.path), environment=self.environment)


def offices(path: Path, now: datetime) -> tuple[Office, ...]:
    """Every environment of the home at ``path``, one whose ``ca.toml`` is lost included."""
    home = Home(path)
    with told(path, "read"):
        names = {place.parent.name for place in path.glob("[a-z]*/root.crt")}
    return tuple(_office(home, name, now) for name in sorted(names.union(home.environments)))


def _office(home: Home, environment: str, now: datetime) -> Office:
    folder = home.folder(environment)
    charter = _or_error(lambda: read_charter(home, environment))
    records = _or_error(lambda: _records(folder / INVENTORY, charter))
    return Office(
        home=home,
        environment=environment,
        charter=charter,
        records=records,
        crls=_or_error(lambda: _lists(folder / LISTS)),
        unclaimed=_or_error(lambda: _unclaimed(home, environment, records)),
        backups=tuple(found for found in backups_in(home.path) if found.environment == environment),
        now=now,
    )


def _records(path: Path, charter: Charter | KeysteadError) -> Records:
    with closing(open_inventory(path)) as inventory, inventory.reading() as tx:
        audit: log.Verified | log.Tampered
        try:
            audit = log.verify(tx)
        except log.Tampered as error:
            audit = error
        if isinstance(charter, KeysteadError):
            return Records(audit, frozenset())
        entries = reads.revoked_under(tx, charter.issuing_serial)
        return Records(audit, frozenset(int(entry.serial, 16) for entry in entries))


def _unclaimed(home: Home, environment: str, records: Records | KeysteadError) -> int:
    with read_claims(home.claims) as claims:
        if isinstance(records, KeysteadError):
            return 0  # which is a finding of its own
        with closing(open_inventory(home.folder(environment) / INVENTORY)) as inventory:
            return _count_unclaimed(inventory, claims, environment)


def _count_unclaimed(inventory: Inventory, claims: Claims, environment: str) -> int:
    own = (environment, COMPROMISED)
    with inventory.reading() as tx:
        return sum(
            len(keys) - sum(holder in own for holder in claims.holders(keys).values())
            for keys in reads.certified_keys(tx)
        )


def _lists(path: Path) -> tuple[Crl, ...]:
    found = read_crls(path)
    if found is None:
        raise NotThere(f"there is no {path}", why="who is revoked cannot be told to anybody", code="no-crl")
    return found


def _or_error(read: Callable[[], Read]) -> Read | KeysteadError:
    try:
        return read()
    except KeysteadError as error:
        return error
