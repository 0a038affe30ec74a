"""What expires on this machine, in a subscriber's folder and in a CA's home, read from the files alone.

Not here: printing it, and what else may be wrong (a later `doctor`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from cryptography import x509

from keystead.ca.layout import ISSUING_CERTIFICATE, LISTS, ROOT_CERTIFICATE
from keystead.errors import KeysteadError
from keystead.machine.files import read_bounded
from keystead.machine.oserrors import told
from keystead.pki.certificates import (
    MAX_CERTIFICATE_OCTETS,
    common_name,
    load_certificates,
    trust_domain_of_ca,
)
from keystead.pki.revocation import next_update
from keystead.subscriber.anew import asking_anew
from keystead.subscriber.folder import read_crls
from keystead.subscriber.layout import Files, Folder

ROOT_NOTICE = timedelta(days=60)
"""How early what needs the root key is spoken of: getting an off-line root out of its safe takes weeks."""


class Kind(StrEnum):
    """What expires: it decides how it is mended, and how early that must begin."""

    SUBSCRIBER = "certificate"
    CA = "CA certificate"
    ISSUING_LIST = "revocation list"
    ROOT_LIST = "root's revocation list"

    @property
    def needs_root_key(self) -> bool:
        """Whether only the root key can make the next one."""
        return self in (Kind.CA, Kind.ROOT_LIST)


@dataclass(frozen=True, slots=True)
class Expiry:
    """One thing that ends: in which file, whose, and when.

    ``environment`` is "" in a subscriber's folder, where ``elsewhere`` is that of the CA, if it is known.
    ``anew`` is what a subscriber types to ask for another in its place once it has ended.
    """

    path: Path
    kind: Kind
    whose: str
    ends: datetime
    environment: str = ""
    anew: str = ""
    elsewhere: str = ""

    def is_due(self, now: datetime, within: timedelta) -> bool:
        """Whether it ends within that span, or has ended."""
        return self.ends <= now + within

    def needs_notice(self, now: datetime) -> bool:
        """Whether somebody must think of the root key by now."""
        return self.kind.needs_root_key and self.is_due(now, ROOT_NOTICE)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file of which it cannot be told when it expires."""

    path: Path
    error: KeysteadError


Finding = Expiry | Unreadable


def in_folder(folder: Folder) -> tuple[Finding, ...]:
    """What expires in a subscriber's folder; nothing where there is no folder.

    The issuing CA in ``NAME.crt`` is left out: no certificate outlives its issuer.
    """
    with told(folder.path, "read"):
        if not folder.path.is_dir():
            return ()
    folder.require()
    leaves = [finding for files in _certified(folder) for finding in _first_certificate(files)]
    issued = (*_certificates(folder.ca, Kind.CA), *_lists(folder.crl, _root_names(folder.ca)))
    elsewhere = _environment_of(folder.ca)
    return (*leaves, *(_issued_in(elsewhere, finding) for finding in issued))


def in_home(home: Path) -> tuple[Finding, ...]:
    """What expires in each environment of the CA home ``home``; nothing where there is none."""
    with told(home, "read"):
        if not home.is_dir():
            return ()
        environments = sorted(place for place in home.iterdir() if (place / ROOT_CERTIFICATE).exists())
    return tuple(finding for place in environments for finding in _in_environment(place))


def _in_environment(place: Path) -> Iterator[Finding]:
    root = place / ROOT_CERTIFICATE
    for name in (ROOT_CERTIFICATE, ISSUING_CERTIFICATE):
        if (place / name).exists():
            yield from _certificates(place / name, Kind.CA, place.name)
    yield from _lists(place / LISTS, _root_names(root), place.name)


def _certified(folder: Folder) -> list[Files]:
    return [files for files in folder.all() if files.certificate.exists()]


def _load(path: Path) -> tuple[x509.Certificate, ...]:
    return load_certificates(read_bounded(path, MAX_CERTIFICATE_OCTETS), str(path))


def _first_certificate(files: Files) -> Iterator[Finding]:
    path = files.certificate
    try:
        leaf = _load(path)[0]
    except KeysteadError as error:
        yield Unreadable(path, error)
    else:
        anew = asking_anew(files, leaf)
        yield Expiry(path, Kind.SUBSCRIBER, common_name(leaf), leaf.not_valid_after_utc, anew=anew)


def _certificates(path: Path, kind: Kind, environment: str = "") -> Iterator[Finding]:
    if not path.exists():
        return
    try:
        found = _load(path)
    except KeysteadError as error:
        yield Unreadable(path, error)
        return
    for certificate in found:
        yield Expiry(path, kind, common_name(certificate), certificate.not_valid_after_utc, environment)


def _lists(path: Path, root_names: Iterable[x509.Name], environment: str = "") -> Iterator[Finding]:
    roots = set(root_names)
    try:
        found = read_crls(path) or ()
    except KeysteadError as error:
        yield Unreadable(path, error)
        return
    for crl in found:
        kind = Kind.ROOT_LIST if crl.issuer in roots else Kind.ISSUING_LIST
        yield Expiry(path, kind, _common_name(crl.issuer), next_update(crl), environment)


def _issued_in(environment: str, finding: Finding) -> Finding:
    return replace(finding, elsewhere=environment) if isinstance(finding, Expiry) else finding


def _environment_of(anchors: Path) -> str:
    try:
        return trust_domain_of_ca(_load(anchors)[0]).environment
    except KeysteadError:
        return ""


def _root_names(path: Path) -> tuple[x509.Name, ...]:
    try:
        return tuple(certificate.subject for certificate in _load(path))
    except KeysteadError:
        return ()  # told of where the file itself is looked at


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()
