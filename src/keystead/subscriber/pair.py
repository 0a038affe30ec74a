"""A key and its certificate, read together: never a pair that does not fit, even while one is being swapped.

Not here: which pair a command wants (`folder`), and swapping them (`swap`).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from keystead.errors import Distrusted, KeysteadError, NotThere
from keystead.machine.files import read_bounded
from keystead.pki.certificates import MAX_CERTIFICATE_OCTETS, has_key, load_certificates, to_pem
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import PrivateKey, load_private_pem
from keystead.pki.origins import owner
from keystead.subscriber.keyfile import read_key
from keystead.subscriber.layout import Files

_ATTEMPTS = 5
"""A swap is two renames; a reader that falls between them reads again."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A key and the certificate that binds it, as they lay there at one moment.

    ``chain`` is what the certificate's file holds: the leaf, then its CAs.
    """

    files: Files
    certificate_path: Path
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False)
    key_pem: bytes = field(repr=False)

    @property
    def leaf(self) -> x509.Certificate:
        """The subscriber's certificate."""
        return self.chain[0]

    @property
    def chain_pem(self) -> bytes:
        """The certificates, leaf first."""
        return to_pem(*self.chain)


def read_pair(files: Files) -> Pair:
    """The pair of one name; a swap that was cut short is finished on the way.

    Raises `NotThere` without key or certificate, `BadInput` for broken ones, `Unavailable` for a key that
    others can read, and `Distrusted` (``key-mismatch``) where the two do not belong together.
    """
    found: x509.Certificate | None = None
    for _ in range(_ATTEMPTS):
        key_pem = read_key(files.key)
        key = load_private_pem(key_pem, str(files.key))
        for path in (files.certificate, files.new_certificate):
            chain = _read_chain(path)
            if chain and has_key(chain[0], key.public_key()):
                return Pair(files, _finish_swap(files, path), chain, key, key_pem)
            if chain and path == files.certificate:
                found = chain[0]
    if found is None:
        raise _without_certificate(files)
    raise _mismatch(files, key, found)


def _read_chain(path: Path) -> tuple[x509.Certificate, ...]:
    try:
        data = read_bounded(path, MAX_CERTIFICATE_OCTETS)
    except NotThere:
        return ()
    return load_certificates(data, str(path))


def _finish_swap(files: Files, path: Path) -> Path:
    """Give a proved certificate its name where its key already has its own; the path to read it from."""
    if path == files.certificate:
        return path
    try:
        path.replace(files.certificate)
    except FileNotFoundError:
        return files.certificate  # another process was quicker
    except OSError:
        return path  # we may only read here: the certificate is as good under this name
    return files.certificate


def _without_certificate(files: Files) -> KeysteadError:
    sent = f"send {files.csr} to the CA" if files.csr.exists() else f"keystead csr {files.name}"
    return NotThere(
        f"{files.key} has no certificate yet",
        why=f"there is no {files.certificate}",
        mend=f"{sent}; then here: keystead install {files.name}.pem --dir {shlex.quote(str(files.folder))}",
        code="no-certificate",
    )


def _mismatch(files: Files, key: PrivateKey, found: x509.Certificate) -> KeysteadError:
    mend = "have the CSR of this key signed, then: keystead install"
    if files.new_key.exists():
        there = (files.certificate, "--dir", files.folder)
        mend = f"if it answers the renewal: keystead install {shlex.join(map(str, there))}"
    return Distrusted(
        f"{files.certificate}, of {owner(found)}, does not belong to {files.key}",
        why=f"the key has the fingerprint {Fingerprint.of_key(key.public_key())}, and the certificate"
        f" binds {Fingerprint.of_key(found.public_key())}",
        mend=mend,
        code="key-mismatch",
    )
