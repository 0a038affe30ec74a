"""What a CA gives back, read from a bundle (``NAME.pem``) or from the files that lie beside ``NAME.crt``.

Not here: whether any of it is to be believed (`install`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from cryptography import x509

from keystead.errors import BadInput, KeysteadError
from keystead.machine.files import read_bounded
from keystead.pki import csr
from keystead.pki.certificates import is_ca, load_certificates
from keystead.pki.leaks import holds_private_key
from keystead.pki.origins import origin, owner
from keystead.pki.revocation import MAX_CRL_OCTETS, load_crls
from keystead.pki.text import as_text
from keystead.subscriber.folder import read_anchors
from keystead.subscriber.layout import Folder

Crl = x509.CertificateRevocationList

_CRL_LABEL = b"-----BEGIN X509 CRL-----"


@dataclass(frozen=True, slots=True)
class Handout:
    """A leaf, the CAs above it, the anchors that come with it, and the revocation lists; all unverified."""

    source: Path
    leaf: x509.Certificate
    intermediates: tuple[x509.Certificate, ...]
    anchors: tuple[x509.Certificate, ...]
    crls: tuple[Crl, ...]


def read_handout(source: Path, folder: Folder, ca: Path | None, crl: Path | None) -> Handout:
    """What the file ``source`` brings.

    Anchors come from ``ca``, else from ``source`` itself, else from a ``ca.crt`` beside it, else from the
    folder's own; lists from ``crl``, else from ``source``, else from a ``crl.pem`` beside it. Raises
    `BadInput` for what is no such file, and for any file that holds a private key.
    """
    data = _read(source)
    leaf, authorities = _leaf_and_authorities(_certificates(data, source), source)
    anchors, intermediates = _parted(authorities)
    if ca is not None:
        anchors, more = _anchors_of(ca)
        intermediates = (*intermediates, *more)
    elif not anchors:
        beside = _beside(source, "ca.crt")
        anchors = _anchors_of(beside)[0] if beside else read_anchors(folder.ca)
    return Handout(source, leaf, intermediates, anchors, _crls(data, source, crl))


def _read(path: Path) -> bytes:
    data = as_text(read_bounded(path, MAX_CRL_OCTETS))
    if not data.strip():
        raise BadInput(
            f"{path} is empty",
            why="a transfer that was cut short leaves such a file",
            mend="fetch it from the CA again",
            code="bad-certificate",
        )
    if holds_private_key(data):
        raise BadInput(
            f"{path} holds a PRIVATE KEY: nothing of it is installed",
            why="no CA has a subscriber's key, so whoever made this file had one that was not theirs",
            mend="treat that key as compromised (the CA: keystead ca revoke NAME --reason keyCompromise),"
            " and make one that never travels: keystead csr NAME",
            code="private-key",
        )
    return data


def _certificates(data: bytes, source: Path) -> tuple[x509.Certificate, ...]:
    try:
        return load_certificates(data, str(source))
    except BadInput as error:
        raise _mistaken(data, source) or error from None


def _mistaken(data: bytes, source: Path) -> BadInput | None:
    """What somebody took for a certificate; None where that cannot be told."""
    for label, (what, mend) in _MISTAKEN.items():
        if label in data:
            whose = f"it is {found}; " if (found := origin(data)) else ""
            return BadInput(
                f"{source} is {what}, not a certificate",
                why=whose + _WANTED,
                mend=mend,
                code="bad-certificate",
            )
    try:
        csr.parse(data, str(source))
    except KeysteadError:
        return None
    what, mend = _MISTAKEN[b"CERTIFICATE REQUEST-----"]
    return BadInput(f"{source} is {what}, not a certificate", why=_WANTED, mend=mend, code="bad-certificate")


_WANTED = "installed is what comes back from the CA: NAME.pem, or NAME.crt with ca.crt beside it"
_MISTAKEN: Mapping[bytes, tuple[str, str]] = MappingProxyType(
    {
        b"CERTIFICATE REQUEST-----": (
            "a CSR",
            "have it signed on the CA's machine: keystead ca sign NAME.csr   (there), then install NAME.pem",
        ),
        _CRL_LABEL: (
            "a revocation list",
            "give the certificate, and this with it: keystead install NAME.crt --crl FILE",
        ),
        b"-----BEGIN PKCS7-----": (
            "a PKCS#7 bundle",
            "unpack it: openssl pkcs7 -print_certs -in FILE -out NAME.pem",
        ),
    }
)


def _leaf_and_authorities(
    found: tuple[x509.Certificate, ...], source: Path
) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
    leaves = [certificate for certificate in found if not is_ca(certificate)]
    if len(leaves) != 1:
        owners = ", ".join(map(owner, leaves or found))
        what = f"{len(leaves)} subscribers' certificates" if leaves else "CA certificates alone"
        raise BadInput(
            f"{source} holds {what}, and one subscriber's certificate is installed at a time",
            why=f"it is of {owners}; {_WANTED}",
            mend="take the NAME.pem that the CA made for this machine",
            code="bad-certificate",
        )
    return leaves[0], tuple(certificate for certificate in found if certificate is not leaves[0])


def _parted(
    authorities: tuple[x509.Certificate, ...],
) -> tuple[tuple[x509.Certificate, ...], tuple[x509.Certificate, ...]]:
    anchors = tuple(ca for ca in authorities if ca.issuer == ca.subject)
    return anchors, tuple(ca for ca in authorities if ca.issuer != ca.subject)


def _anchors_of(path: Path) -> tuple[tuple[x509.Certificate, ...], tuple[x509.Certificate, ...]]:
    found = load_certificates(_read(path), str(path))
    anchors, intermediates = _parted(tuple(certificate for certificate in found if is_ca(certificate)))
    if not anchors:
        raise BadInput(
            f"{path} holds no root certificate",
            why="a trust anchor is a CA certificate that is issued by itself",
            mend="take ca.crt from the CA (--ca ca.crt)",
            code="bad-certificate",
        )
    return anchors, intermediates


def _crls(data: bytes, source: Path, crl: Path | None) -> tuple[Crl, ...]:
    if crl is None and _CRL_LABEL in data:
        return load_crls(data, str(source))
    path = crl or _beside(source, "crl.pem")
    return load_crls(_read(path), str(path)) if path else ()


def _beside(source: Path, name: str) -> Path | None:
    path = source.parent / name
    return path if path.exists() else None
