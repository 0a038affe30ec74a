"""Handing out: the files that go back to the subscriber, once a certificate is recorded.

Beside each CSR, or into one folder: NAME.crt (leaf, issuing CA), ca.crt, crl.pem, and all of them in one
NAME.pem. Not here: signing.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from keystead.ca.authority.model import Charter, Repeated, Signed
from keystead.errors import AlreadyThere, KeysteadError
from keystead.machine.files import ManyFiles, read_bounded
from keystead.pki.certificates import MAX_CERTIFICATE_OCTETS, load_certificates, to_pem
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.names import Identity
from keystead.pki.revocation import MAX_CRL_OCTETS


@dataclass(frozen=True, slots=True)
class HandedOut:
    """What was written for one certificate; ``certificate`` is None where a renewal's NAME.crt was left."""

    bundle: Path
    certificate: Path | None


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
    foreign = [Fingerprint.of_certificate(anchor) for anchor in there if anchor != charter.root]
    if not foreign:
        return
    raise AlreadyThere(
        f"{path} belongs to another CA",
        why=f"it holds {', '.join(map(str, foreign))},"
        f" and the root of {charter.environment} has {Fingerprint.of_certificate(charter.root)}",
        mend="write elsewhere: --out DIR; or remove that ca.crt first, if nothing trusts it any more",
        code="foreign-anchor",
    )


class Counter:
    """Hands out the files of one run; remembers whose NAME stands where, so that two never share a file."""

    def __init__(self, charter: Charter, folders: Mapping[str, Path]) -> None:
        """``folders`` gives the place for each submission's source."""
        self._folders = folders
        self._root = to_pem(charter.root)
        self._issuing = to_pem(charter.issuing)
        self._crl_path = charter.crl_path
        self._owners: dict[Path, Identity] = {}
        self._files_written = ManyFiles()

    def hand_out(self, answers: Sequence[Signed | Repeated]) -> list[HandedOut]:
        """Write the files of ``answers``; what was written stands at their places. Durable after `settle`.

        Where a renewal waits for `install` (NAME.new.key lies there), NAME.crt is left alone: it must
        change together with the key, and NAME.pem is enough for that.
        """
        handed = [self._place(answer) for answer in answers]
        for path, data in self._files(answers, handed):
            self._files_written.put(path, data)
        return handed

    def settle(self) -> None:
        """Bring all that was handed out to the disk."""
        self._files_written.sync()

    def _place(self, answer: Signed | Repeated) -> HandedOut:
        folder = self._folders[answer.source]
        stem = self._stem(folder, answer)
        waits = (folder / f"{stem}.new.key").exists()
        return HandedOut(folder / f"{stem}.pem", None if waits else folder / f"{stem}.crt")

    def _stem(self, folder: Path, answer: Signed | Repeated) -> str:
        identity = answer.identity
        # Two profiles may have the NAME, and somebody else the next word for it; nobody has the serial.
        for stem in (identity.name, f"{identity.name}.{identity.profile}"):
            if _is_somebodys_secret(folder / stem):
                continue
            if self._owners.setdefault(folder / stem, identity) == identity:
                return stem
        return answer.certificate.serial

    def _files(
        self, answers: Sequence[Signed | Repeated], handed: Sequence[HandedOut]
    ) -> Iterator[tuple[Path, bytes]]:
        crls = read_bounded(self._crl_path, MAX_CRL_OCTETS)
        furnished: set[Path] = set()
        for answer, files in zip(answers, handed, strict=True):
            leaf = to_pem(x509.load_der_x509_certificate(answer.certificate.der))
            chain = leaf + self._issuing
            if files.certificate is not None:
                yield files.certificate, chain
            yield files.bundle, chain + self._root + crls
            folder = files.bundle.parent
            if folder not in furnished:
                furnished.add(folder)
                yield folder / "ca.crt", self._root
                yield folder / "crl.pem", crls


def _is_somebodys_secret(place: Path) -> bool:
    """Whether a file that we would write is there and is nobody else's to read, as ours never are.

    ``NAME.pem`` may hold a private key there. It is not opened to find out.
    """
    for suffix in (".pem", ".crt"):
        try:
            mode = Path(f"{place}{suffix}").lstat().st_mode
        except OSError:
            continue
        if stat.S_ISREG(mode) and not mode & (stat.S_IRGRP | stat.S_IROTH):
            return True
    return False
