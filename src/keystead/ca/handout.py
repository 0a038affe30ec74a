"""Handing out: the files that go back to the subscriber, once a certificate is recorded.

Beside each CSR, or into one folder: NAME.crt (leaf, issuing CA), ca.crt, crl.pem, and all of them in one
NAME.pem. Not here: signing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, Self

from cryptography import x509

from keystead.ca.authority.model import Charter, Repeated, Signed
from keystead.errors import AlreadyThere, KeysteadError
from keystead.machine.files import ManyFiles, read_bounded
from keystead.machine.forks import Fork, Promise
from keystead.pki.certificates import MAX_CERTIFICATE_OCTETS, load_certificates, to_pem
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.origins import owner
from keystead.pki.revocation import MAX_CRL_OCTETS


@dataclass(frozen=True, slots=True)
class HandedOut:
    """The files of one certificate; ``certificate`` is None where a renewal's NAME.crt was left."""

    bundle: str
    certificate: str | None


def check_place(charter: Charter, folder: Path) -> None:
    """Raise `AlreadyThere` where ``folder`` holds the ``ca.crt`` of another CA, which would be overwritten.

    No other file of the folder is opened.
    """
    path = folder / "ca.crt"
    if not path.is_file():
        return  # a pipe of that name would hang us
    try:
        there = load_certificates(read_bounded(path, MAX_CERTIFICATE_OCTETS), str(path))
    except KeysteadError:
        return  # there is none, or none that anybody could trust
    foreign = [
        f"{owner(anchor)}, {Fingerprint.of_certificate(anchor)}" for anchor in there if anchor != charter.root
    ]
    if not foreign:
        return
    raise AlreadyThere(
        f"{path} belongs to another CA",
        why=f"it holds {'; '.join(foreign)}; and the root of {charter.trust_domain} has"
        f" {Fingerprint.of_certificate(charter.root)}",
        mend="write elsewhere: --out DIR; or remove that ca.crt first, if nothing trusts it any more",
        code="foreign-anchor",
    )


class Parcel(NamedTuple):
    """One answer as far as handing out needs it: small enough to cross to another process."""

    source: str
    owner: str
    """The identity, as ``profile/NAME``."""
    serial: str
    der: bytes

    @classmethod
    def of(cls, answer: Signed | Repeated) -> Self:
        """The parcel of an answer."""
        certificate = answer.certificate
        return cls(answer.source, str(answer.identity), certificate.serial, certificate.der)


class Clerk(Protocol):
    """Whoever hands out: one in this process, or in another."""

    def hand_out(self, parcels: Sequence[Parcel]) -> list[HandedOut]:
        """Write the files of ``parcels``; what was written stands at their places. Durable after `settle`."""
        ...

    def deliver(self, parcels: Sequence[Parcel]) -> None:
        """The same for whoever does not ask what was written; what goes wrong may be told by a later call."""
        ...

    def settle(self) -> None:
        """Bring all that was handed out to the disk."""
        ...


class ForkedClerk:
    """A clerk in another process, who writes one group's files while the next is signed."""

    def __init__(self, clerk: Fork) -> None:
        self._clerk = clerk
        self._delivering: Promise[None] = lambda: None

    def hand_out(self, parcels: Sequence[Parcel]) -> list[HandedOut]:
        """See `Clerk.hand_out`."""
        handed: list[HandedOut] = self._clerk.ask("hand_out", parcels)()
        return handed

    def deliver(self, parcels: Sequence[Parcel]) -> None:
        """See `Clerk.deliver`; waits for the group before."""
        self._delivering()
        self._delivering = self._clerk.ask("deliver", parcels)

    def settle(self) -> None:
        """See `Clerk.settle`."""
        self._delivering()
        self._clerk.ask("settle")()


class LocalClerk:
    """Hands out the files of one run; remembers whose NAME stands where, so that two never share a file."""

    def __init__(self, charter: Charter, folders: Mapping[str, Path]) -> None:
        """``folders`` gives the place for each submission's source."""
        self._folders = folders
        self._root = to_pem(charter.root)
        self._issuing = to_pem(charter.issuing)
        self._crl_path = charter.crl_path
        self._owners: dict[str, str] = {}
        self._files_written = ManyFiles()

    def hand_out(self, parcels: Sequence[Parcel]) -> list[HandedOut]:
        """See `Clerk.hand_out`.

        Where a renewal waits for `install` (NAME.new.key lies there), NAME.crt is left alone: it must
        change together with the key, and NAME.pem is enough for that.
        """
        crls = read_bounded(self._crl_path, MAX_CRL_OCTETS)
        furnished: set[Path] = set()
        handed: list[HandedOut] = []
        for parcel in parcels:
            folder = self._folders[parcel.source]
            if folder not in furnished:
                furnished.add(folder)
                self._files_written.put(folder / "ca.crt", self._root)
                self._files_written.put(folder / "crl.pem", crls)
            handed.append(self._write(parcel, folder, crls))
        return handed

    def deliver(self, parcels: Sequence[Parcel]) -> None:
        """See `Clerk.deliver`."""
        self.hand_out(parcels)

    def settle(self) -> None:
        """See `Clerk.settle`."""
        self._files_written.sync()

    def _write(self, parcel: Parcel, folder: Path, crls: bytes) -> HandedOut:
        # Plain strings: of ten thousand parcels, pathlib would be a third of the work.
        stem = self._stem(str(folder), parcel)
        chain = to_pem(x509.load_der_x509_certificate(parcel.der)) + self._issuing
        certificate, bundle = f"{stem}.crt", f"{stem}.pem"
        waits = os.access(f"{stem}.new.key", os.F_OK)
        if not waits:
            self._files_written.put(certificate, chain)
        self._files_written.put(bundle, chain + self._root + crls)
        return HandedOut(bundle, None if waits else certificate)

    def _stem(self, folder: str, parcel: Parcel) -> str:
        profile, _, name = parcel.owner.partition("/")
        # Two profiles may have the NAME, and somebody else the next word for it; nobody has the serial.
        for stem in (f"{folder}/{name}", f"{folder}/{name}.{profile}"):
            if _is_somebodys_secret(stem):
                continue
            if self._owners.setdefault(stem, parcel.owner) == parcel.owner:
                return stem
        return f"{folder}/{parcel.serial}"


def _is_somebodys_secret(stem: str) -> bool:
    """Whether a file that we would write is there and is nobody else's to read, as ours never are.

    ``NAME.pem`` may hold a private key there. It is not opened to find out.
    """
    for path in (f"{stem}.pem", f"{stem}.crt"):
        if not os.access(path, os.F_OK):  # as nearly always; lstat's exception would cost more
            continue
        mode = os.lstat(path).st_mode
        if stat.S_ISREG(mode) and not mode & (stat.S_IRGRP | stat.S_IROTH):
            return True
    return False
