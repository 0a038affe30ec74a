"""Taking a backup: all of an environment in one sealed file, while signing goes on.

The keys stay sealed as they lie there; `dev`'s unsealed ones are sealed by the archive. Not here: bringing
it back (`restore`), and the archive's format (`manifest`, `packing`, `custody.envelope`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from io import FileIO
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, func, select

from keystead.ca import configuration
from keystead.ca.audit import log
from keystead.ca.audit.entry import BACKED_UP
from keystead.ca.authority.model import Authority, Charter
from keystead.ca.authority.publish import current
from keystead.ca.claims import COMPROMISED
from keystead.ca.founding import check_sealing
from keystead.ca.home import ISSUING, ROOT
from keystead.ca.inventory.schema import carried_revocations, certificates, revocations
from keystead.ca.layout import ANCHOR, CONFIGURATION, INVENTORY, ISSUING_CERTIFICATE, LISTS, ROOT_CERTIFICATE
from keystead.ca.procedures.manifest import (
    BARRED,
    LIMITS,
    MAX_INVENTORY_OCTETS,
    File,
    Head,
    Manifest,
)
from keystead.ca.procedures.packing import PIECE, Stream, pack
from keystead.custody.envelope import seal
from keystead.custody.files import MAX_KEY_FILE
from keystead.custody.recipients import Recipients
from keystead.custody.vault import Sealing, sealing_of
from keystead.errors import NotThere, Unavailable
from keystead.machine.files import read_bounded, read_private
from keystead.machine.newfiles import new_file
from keystead.machine.secrets import Passphrase
from keystead.machine.snapshots import snapshot
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.revocation import crl_to_pem

BEGUN: Final = "begun"
OK: Final = "ok"

_PUBLIC_FILES = (ROOT_CERTIFICATE, ISSUING_CERTIFICATE, ANCHOR)


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that was taken: where it lies, its octets, and what it says of itself."""

    path: Path
    size: int
    manifest: Manifest

    @property
    def has_root_key(self) -> bool:
        """Whether the root's key is in it: where the root is off-line, it is not."""
        return any(file.name.startswith(f"{ROOT}.key") for file in self.manifest.files)


@dataclass(frozen=True, slots=True)
class _Moment:
    """What the inventory held when it was copied."""

    certificates: int
    revocations: int
    head: log.Verified


def default_name(charter: Charter, now: datetime) -> str:
    """What an archive is called where nobody says: ENV-DATE, to the second, so that none is in the way."""
    return f"{charter.environment}-{now:%Y-%m-%dT%H%M%SZ}.backup"


def take(authority: Authority, to: Recipients | Passphrase, path: Path) -> Taken:
    """Write everything of this environment to ``path``, sealed; audited before and after.

    Raises `AlreadyThere` where ``path`` exists, `NotThere` where the issuing CA's key is missing,
    `Unavailable` where a disk is full. Nothing is left at ``path`` then.
    """
    with new_file(path) as out:
        files = _files(authority.charter)
        backup = authority.entropy(16).hex()
        _note(authority, backup, BEGUN, f"into {path.name}, for {_whom(to)}")
        with _copied(authority) as (moment, copy):
            # After the copy: what was barred, or published, meanwhile is rather in than not.
            files |= {LISTS: crl_to_pem(*current(authority.charter)), BARRED: _barred(authority)}
            manifest = _manifest(authority, backup, moment, [*_listed(files), _measured(copy)])
            copy.seek(0)
            seal(Stream(pack(manifest, files, _pieces(copy))), out, to)
        out.flush()
        size = out.tell()
    _note(authority, backup, OK, f"{path.name}: audit log of {manifest.audit.entries} entries")
    return Taken(path, size, manifest)


def _whom(to: Recipients | Passphrase) -> str:
    return "whoever has the passphrase" if isinstance(to, Passphrase) else ", ".join(to.spelled)


def _note(authority: Authority, backup: str, result: str, detail: str) -> None:
    with authority.inventory.writing() as tx:
        now = log.recorded_at(tx, authority.clock())
        log.append(tx, [authority.entry(BACKED_UP, now, result, request=backup, detail=detail)])


def _files(charter: Charter) -> dict[str, bytes]:
    folder = charter.folder
    files = {CONFIGURATION: read_bounded(folder / CONFIGURATION, configuration.MAX_OCTETS)}
    files |= {name: read_bounded(folder / name, LIMITS[name]) for name in _PUBLIC_FILES}
    for stem in (ROOT, ISSUING):
        try:
            sealing = sealing_of(folder, stem)
        except NotThere:
            if stem == ISSUING:
                raise
            continue  # the root is off-line
        check_sealing(charter.environment, sealed=sealing is not Sealing.NONE)
        name = f"{stem}.key" if sealing is Sealing.NONE else f"{stem}.key.age"
        files[name] = read_private(folder / name, MAX_KEY_FILE)
    return files


def _barred(authority: Authority) -> bytes:
    return "".join(f"{fingerprint}\n" for fingerprint in authority.claims.held_by(COMPROMISED)).encode()


@contextmanager
def _copied(authority: Authority) -> Iterator[tuple[_Moment, FileIO]]:
    """A copy of the inventory, and what it held then: of one moment, in one transaction."""
    with ExitStack() as stack:
        with authority.inventory.reading() as tx:
            moment = _Moment(
                certificates=_count(tx, certificates),
                revocations=_count(tx, revocations) + _count(tx, carried_revocations),
                head=log.head(tx),
            )
            driver = tx.connection.driver_connection
            assert driver is not None
            copy = stack.enter_context(snapshot(driver, authority.inventory.path))
        yield moment, copy


def _count(tx: Connection, table: object) -> int:
    return tx.execute(select(func.count()).select_from(table)).scalar_one()  # type: ignore[arg-type] # any table


def _listed(files: Mapping[str, bytes]) -> Iterator[File]:
    for name, data in files.items():
        yield File(name, len(data), hashlib.sha256(data).hexdigest())


def _measured(copy: FileIO) -> File:
    digest = hashlib.sha256()
    for piece in _pieces(copy):
        digest.update(piece)
    if copy.tell() > MAX_INVENTORY_OCTETS:
        raise Unavailable("the inventory is too large for an archive", why="8 GiB is the most that one holds")
    return File(INVENTORY, copy.tell(), digest.hexdigest())


def _pieces(copy: FileIO) -> Iterator[bytes]:
    while piece := copy.read(PIECE):
        yield piece


def _manifest(authority: Authority, backup: str, moment: _Moment, files: Sequence[File]) -> Manifest:
    charter, newest = authority.charter, moment.head.newest
    assert newest is not None  # the backup's own entry is in it
    return Manifest(
        backup=backup,
        made=authority.clock(),
        by=f"keystead {version('keystead')}",
        environment=charter.environment,
        trust_domain=charter.trust_domain,
        root=Fingerprint.of_certificate(charter.root).hex,
        certificates=moment.certificates,
        revocations=moment.revocations,
        audit=Head(moment.head.size, moment.head.root.hex(), newest),
        files=tuple(sorted(files, key=lambda file: list(LIMITS).index(file.name))),
    )
