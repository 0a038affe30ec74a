"""A subscriber's folder as doctor sees it: every file's octets and mode, and what could be read of them.

Nothing is refused here and nothing is mended: what cannot be read is the error that says so. Not here: what
of it is wrong (`storage`, `holders`, `trust`).
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from cryptography import x509

from keystead.custody.files import MAX_KEY_FILE
from keystead.errors import KeysteadError, NotThere
from keystead.machine.files import read_bounded
from keystead.machine.oserrors import told
from keystead.pki import csr
from keystead.pki.certificates import (
    MAX_CERTIFICATE_OCTETS,
    extended_key_usages,
    host_names,
    identity_of,
    load_certificates,
)
from keystead.pki.csr import CertificateRequest
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import PrivateKey, load_private_pem
from keystead.pki.names import check_name
from keystead.pki.revocation import MAX_CRL_OCTETS
from keystead.pki.text import as_text
from keystead.subscriber.folder import read_anchors, read_crls
from keystead.subscriber.layout import Files, Folder
from keystead.subscriber.roles import Role
from keystead.watch.doctor.checks import Seen

Crl = x509.CertificateRevocationList
Certificates = tuple[x509.Certificate, ...]
Read = TypeVar("Read")

_SUFFIXES = frozenset({".key", ".crt", ".pem", ".csr"})


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of the folder: its permission bits, its owner's uid, and its octets as they lie there."""

    path: Path
    mode: int
    owner: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Holder:
    """One NAME of the folder. What could not be read of it is the error that says so.

    ``asked`` is the CSR that lies there, if it is the key's.
    """

    files: Files
    key: PrivateKey | KeysteadError = field(repr=False)
    chain: Certificates | KeysteadError
    asked: CertificateRequest | None

    @property
    def certificates(self) -> Certificates:
        """Those of ``NAME.crt``; none where they could not be read."""
        return () if isinstance(self.chain, KeysteadError) else self.chain

    @property
    def is_pair(self) -> bool:
        """Whether the first certificate is the key's."""
        if isinstance(self.key, KeysteadError) or not self.certificates:
            return False
        return self.certificates[0].public_key() == self.key.public_key()

    @property
    def leaf(self) -> Certificates:
        """The certificate of the key, or the first one; none where none could be read."""
        if isinstance(self.key, KeysteadError):
            return self.certificates[:1]
        public_key = self.key.public_key()
        own = [found for found in self.certificates if found.public_key() == public_key]
        return tuple(own[:1]) or self.certificates[:1]

    def seen(self, path: Path, detail: str = "", hosts: tuple[str, ...] = ()) -> Seen:
        """This subscriber in a finding about ``path``; ``hosts`` in place of those that it covers."""
        profile, environment = "server" if self.asked and self.asked.wants_server else "", ""
        covered: tuple[str, ...] = ()
        for leaf in self.leaf:
            covered = host_names(leaf).texts
            profile = "server" if Role.SERVER.purpose in extended_key_usages(leaf) else ""
            try:
                identity = identity_of(leaf)
            except KeysteadError:
                continue
            profile, environment = identity.profile, identity.environment
        has_csr = self.asked is not None
        return Seen(path, detail, self.files.name, profile, environment, hosts or covered, has_csr)


@dataclass(frozen=True, slots=True)
class Scene:
    """The whole folder at one moment."""

    folder: Folder
    mode: int
    owner: int
    now: datetime
    stored: tuple[Stored, ...]
    holders: tuple[Holder, ...]
    anchors: Certificates | KeysteadError
    crls: tuple[Crl, ...] | KeysteadError

    @property
    def roots(self) -> Certificates:
        """The trust anchors; none where they could not be read."""
        return () if isinstance(self.anchors, KeysteadError) else self.anchors

    @property
    def lists(self) -> tuple[Crl, ...]:
        """The revocation lists; none where they could not be read."""
        return () if isinstance(self.crls, KeysteadError) else self.crls

    @property
    def environment(self) -> str:
        """That of the first subscriber who says so, for the CA's commands."""
        found = (holder.seen(self.folder.ca).environment for holder in self.holders)
        return next(filter(None, found), "")

    def file(self, path: Path) -> tuple[Stored, ...]:
        """The file ``path``, if it is there."""
        return tuple(stored for stored in self.stored if stored.path == path)


def look(folder: Folder, now: datetime) -> Scene:
    """Read all of ``folder``; raises `NotThere` where there is none."""
    folder.require()
    with told(folder.path, "read"):
        status = folder.path.stat()
        names = sorted(path for path in folder.path.iterdir() if path.suffix in _SUFFIXES)
        files = [(path, found) for path in names if stat.S_ISREG((found := path.stat()).st_mode)]
    stored = tuple(
        Stored(path, stat.S_IMODE(found.st_mode), found.st_uid, read_bounded(path, MAX_CRL_OCTETS))
        for path, found in files
    )
    return Scene(
        folder=folder,
        mode=stat.S_IMODE(status.st_mode),
        owner=status.st_uid,
        now=now,
        stored=stored,
        holders=tuple(_holder(folder.files(name)) for name in _names(folder, stored)),
        anchors=_or_error(lambda: read_anchors(folder.ca)),
        crls=_or_error(lambda: _lists(folder.crl)),
    )


def _names(folder: Folder, stored: tuple[Stored, ...]) -> Iterator[str]:
    stems = {file.path.stem for file in stored if file.path.suffix in (".key", ".crt")}
    for stem in sorted(stems):
        try:
            folder.files(check_name(stem))
        except KeysteadError:
            continue
        yield stem


def _holder(files: Files) -> Holder:
    key = _or_error(lambda: load_private_pem(as_text(read_bounded(files.key, MAX_KEY_FILE)), str(files.key)))
    chain = _or_error(
        lambda: load_certificates(
            as_text(read_bounded(files.certificate, MAX_CERTIFICATE_OCTETS)), str(files.certificate)
        )
    )
    return Holder(files, key, chain, _asked(files, key))


def _asked(files: Files, key: PrivateKey | KeysteadError) -> CertificateRequest | None:
    asked = _or_error(lambda: csr.parse(read_bounded(files.csr, csr.MAX_CSR_OCTETS), str(files.csr)))
    if isinstance(key, KeysteadError) or isinstance(asked, KeysteadError):
        return None
    return asked if asked.key_fingerprint == Fingerprint.of_key(key.public_key()) else None


def _lists(path: Path) -> tuple[Crl, ...]:
    found = read_crls(path)
    if found is None:
        raise NotThere(f"there is no {path}", code="no-crl")
    return found


def _or_error(read: Callable[[], Read]) -> Read | KeysteadError:
    try:
        return read()
    except KeysteadError as error:
        return error
