"""Putting single files of a lost or damaged environment back from its archive; what is there else stays.

The inventory is not among them: what was recorded since would be lost, which is a whole restore's to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509

from keystead.ca.audit.entry import BACKED_UP, RESTORED, Entry
from keystead.ca.audit.log import append, recorded_at, tells_of
from keystead.ca.founding import check_sealing
from keystead.ca.home import ISSUING, ROOT, Home, check_fits, read_charter
from keystead.ca.inventory.store import open_inventory
from keystead.ca.layout import (
    ANCHOR,
    CLAIMS,
    CONFIGURATION,
    INVENTORY,
    ISSUING_CERTIFICATE,
    ROOT_CERTIFICATE,
)
from keystead.ca.procedures.charter import charter_of
from keystead.ca.procedures.claiming import name_aside, rebuild
from keystead.ca.procedures.landing import Announce, Source
from keystead.ca.procedures.manifest import LIMITS, Manifest
from keystead.ca.procedures.merging import barred_in
from keystead.ca.procedures.packing import Contents, Unpacker
from keystead.custody.envelope import open_sealed
from keystead.errors import KeysteadError, NotThere, Refused, Violation
from keystead.machine.clock import Clock, system_clock
from keystead.machine.files import PRIVATE, PUBLIC, move_file, read_bounded, write_new
from keystead.machine.oserrors import told
from keystead.pki.certificates import load_certificate, was_issued_by
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import load_private_pem

FILES: Final = (
    CONFIGURATION,
    ROOT_CERTIFICATE,
    ISSUING_CERTIFICATE,
    ANCHOR,
    "root.key",
    "issuing.key",
    CLAIMS,
)
"""What can be put back. A key comes sealed where it was; ``keys.db`` is made anew from the inventories that
are there, with the keys that the archive knows to be barred.
"""

_ROOT_FILES: Final = (ROOT_CERTIFICATE, ANCHOR)
"""What says whose environment it is."""


@dataclass(frozen=True, slots=True)
class PutBack:
    """A file that is back, and where what stood there before lies now, if anything did."""

    path: Path
    aside: Path | None


def put_back(
    home: Home,
    source: Source,
    names: Iterable[str],
    *,
    actor: str,
    clock: Clock = system_clock,
    announce: Announce,
) -> tuple[PutBack, ...]:
    """Put the files ``names`` of `FILES` back into the archive's environment, which must exist.

    Audited before and after: a kill in between leaves no import that nobody knows of.

    What stands there and differs is renamed, never overwritten. Raises `NotThere` where there is no such
    environment or the archive has no such file, `Refused` where the two are of different CAs or
    the environment's log does not tell of the archive, and `BadInput` as a restore does.
    """
    contents = _read(home, source, announce)
    folder = home.folder(contents.manifest.environment)
    archived = charter_of(contents, folder, str(source.path))
    if not _certificates(folder, *_ROOT_FILES):  # then its issuing CA alone tells whose the folder is
        issuing = _certificates(folder, ISSUING_CERTIFICATE)
        if not all(was_issued_by(there, archived.root) for there in issuing):
            raise _other_ca(source, folder, contents.manifest)
    _check_made_here(folder, source, contents.manifest)
    wanted = list(names)
    for stem, certificate in ((ROOT, archived.root), (ISSUING, archived.issuing)):
        if f"{stem}.key" in wanted:
            standing = () if f"{stem}.crt" in wanted else _certificates(folder, f"{stem}.crt")
            _check_key(folder, stem, next(iter(standing), certificate), contents)

    def note(result: str) -> None:
        with open_inventory(folder / INVENTORY) as inventory, inventory.writing() as tx:
            now = recorded_at(tx, clock())
            detail = f"only {', '.join(wanted)}"
            append(tx, [Entry(actor, RESTORED, now, result, request=contents.manifest.backup, detail=detail)])

    note("begun")
    done = [_place(folder, name, contents, source) for name in wanted if name != CLAIMS]
    if CLAIMS in wanted:
        rebuilt = rebuild(home, barred_in(contents, str(source.path)), actor=actor, clock=clock)
        done.append(PutBack(home.claims, rebuilt.aside))
    read_charter(home, contents.manifest.environment)  # raises where something else is lost too
    note("part")
    return tuple(done)


class _Nowhere:
    """Where an inventory goes that is not wanted."""

    def write(self, data: bytes) -> int:
        """Nothing is kept."""
        return len(data)


def _read(home: Home, source: Source, announce: Announce) -> Contents:
    def land(manifest: Manifest) -> _Nowhere:
        announce(manifest)
        _check_same_ca(home, source, manifest)
        return _Nowhere()

    unpacker = Unpacker(land, str(source.path))
    with told(source.path, "read"), source.path.open("rb") as file:
        open_sealed(file, unpacker, source.by, str(source.path))
    return unpacker.contents()


def _check_same_ca(home: Home, source: Source, manifest: Manifest) -> None:
    folder = home.folder(manifest.environment)
    if not folder.exists():
        raise NotThere(
            f"there is no environment {manifest.environment!r} in {home.path} to put a file back into",
            mend="restore all of it: leave --only out, and give --crl",
            code="no-environment",
        )
    known = {Fingerprint.of_certificate(root).hex for root in _certificates(folder, *_ROOT_FILES)}
    if source.environment not in (None, manifest.environment) or known - {manifest.root}:
        raise _other_ca(source, folder, manifest)


def _check_made_here(folder: Path, source: Source, manifest: Manifest) -> None:
    """Anybody can seal an archive to a public key; those that this CA has made stand in its own log."""
    with open_inventory(folder / INVENTORY) as inventory, inventory.reading() as tx:
        if tells_of(tx, BACKED_UP, manifest.backup):
            return
    violation = Violation(
        "unknown-archive",
        f"no backup {manifest.backup} stands in the audit log of {manifest.environment!r}",
        "take an archive that stands there (keystead ca audit); one of a time that a restore has undone opens"
        " with age, and its files can be compared and copied by hand",
    )
    raise Refused(f"{source.path} is not known to this CA", [violation])


def _other_ca(source: Source, folder: Path, manifest: Manifest) -> Refused:
    violation = Violation(
        "other-ca",
        f"it is of {manifest.environment!r} with the root {manifest.root[:16]}…",
        "name the archive of this environment",
    )
    return Refused(f"{source.path} is of another CA than {folder}", [violation])


def _certificates(folder: Path, *names: str) -> list[x509.Certificate]:
    """Those that can be read: any of them may be the very file that is put back."""
    found = []
    for name in names:
        with suppress(KeysteadError):
            found.append(load_certificate(read_bounded(folder / name, LIMITS[name]), name))
    return found


def _check_key(folder: Path, stem: str, certificate: x509.Certificate, contents: Contents) -> None:
    """That of the archive fits its certificate there; a sealed one shows that when it is opened."""
    pem = contents.files.get(f"{stem}.key")
    if pem is not None:
        check_fits(folder, stem, certificate, load_private_pem(pem, f"{stem}.key"))


def _place(folder: Path, wanted: str, contents: Contents, source: Source) -> PutBack:
    name = next((name for name in (f"{wanted}.age", wanted) if name in contents.files), None)
    if name is None:
        raise NotThere(f"{source.path} holds no {wanted}", mend="take it from another archive")
    if wanted.endswith(".key"):
        check_sealing(contents.manifest.environment, sealed=name != wanted)
    path, data = folder / name, contents.files[name]
    aside = _move_aside(path, data)
    if not path.exists():
        write_new(path, data, PRIVATE if wanted.endswith(".key") else PUBLIC)
    return PutBack(path, aside)


def _move_aside(path: Path, data: bytes) -> Path | None:
    with told(path, "read"):
        if not path.exists():
            return None
        with path.open("rb") as file:
            if file.read(len(data) + 1) == data:
                return None
    aside = name_aside(path)
    move_file(path, aside)
    return aside
