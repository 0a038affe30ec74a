"""A CSR and its key, as they come to lie in the folder: both, or neither.

Not here: what the CSR is to say, and with which key (`request`, `renewal`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.errors import KeysteadError
from keystead.machine.files import PUBLIC, read_bounded, write_atomic, write_new
from keystead.machine.folders import keep_out_of_git
from keystead.pki import csr
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import PrivateKey, describe, is_experimental, private_pem
from keystead.pki.names import HostNames, Identity
from keystead.pki.renewal import RenewalProof
from keystead.subscriber.layout import Files


@dataclass(frozen=True, slots=True)
class MadeRequest:
    """A CSR that lies in the folder, ready to be sent, and the key that stays.

    ``renews`` is the identity that is renewed, None for a new subscriber. ``key_is_new`` and
    ``csr_is_new`` are False for what lay there before, from a run that was cut short. ``beyond`` names the
    hosts that the certificate renewed does not cover. ``warning`` concerns git; empty where all is well.
    """

    files: Files
    key_path: Path
    key_type: str
    is_experimental: bool
    fingerprint: Fingerprint
    host_names: HostNames
    renews: Identity | None
    key_is_new: bool
    csr_is_new: bool
    beyond: tuple[str, ...]
    warning: str


@dataclass(frozen=True, slots=True)
class Content:
    """What a CSR is to say, but for the key and the proof."""

    common_name: str
    purposes: frozenset[x509.ObjectIdentifier]
    host_names: HostNames


@dataclass(frozen=True, slots=True)
class Renewed:
    """The certificate that a CSR renews: whose it is, what it covers, and the proof by its key."""

    identity: Identity
    host_names: HostNames
    proof: RenewalProof


@dataclass(frozen=True, slots=True)
class Sending:
    """A key, where it lies or is to lie, and whose CSR is to be written."""

    files: Files
    key_path: Path
    key: PrivateKey
    key_is_new: bool

    def send(self, content: Content, renewed: Renewed | None) -> MadeRequest:
        """Write what is not there yet."""
        public_key = self.key.public_key()
        csr_is_new = self.key_is_new or not self._says(content, renewed)
        warning = ""
        if csr_is_new:
            pem = self._csr(content, renewed)
            warning = keep_out_of_git(self.key_path)
            self._write(pem)
        covered = renewed.host_names if renewed else content.host_names
        return MadeRequest(
            files=self.files,
            key_path=self.key_path,
            key_type=describe(public_key),
            is_experimental=is_experimental(public_key),
            fingerprint=Fingerprint.of_key(public_key),
            host_names=content.host_names,
            renews=renewed.identity if renewed else None,
            key_is_new=self.key_is_new,
            csr_is_new=csr_is_new,
            beyond=content.host_names.minus(covered),
            warning=warning,
        )

    def _csr(self, content: Content, renewed: Renewed | None) -> bytes:
        made = csr.build(
            self.key,
            common_name=content.common_name,
            purposes=sorted(content.purposes, key=lambda oid: oid.dotted_string),
            host_names=content.host_names,
            proof=renewed.proof if renewed else None,
        )
        return made.public_bytes(Encoding.PEM)

    def _write(self, csr_pem: bytes) -> None:
        if self.key_is_new:
            write_new(self.key_path, private_pem(self.key))
        try:
            write_atomic(self.files.csr, csr_pem, PUBLIC)
        except BaseException:
            if self.key_is_new:
                self.key_path.unlink(missing_ok=True)
            raise

    def _says(self, content: Content, renewed: Renewed | None) -> bool:
        """Whether ``NAME.csr`` is this key's and says just that already."""
        try:
            there = csr.parse(read_bounded(self.files.csr, csr.MAX_CSR_OCTETS), "")
        except KeysteadError:
            return False
        return (
            there.key_fingerprint == Fingerprint.of_key(self.key.public_key())
            and there.proves_possession
            and Content(there.common_name or "", there.purposes, there.host_names) == content
            and (there.proof.serial if there.proof else None) == (renewed.proof.serial if renewed else None)
        )
