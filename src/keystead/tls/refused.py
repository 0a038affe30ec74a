"""A handshake that was refused, as a value: who came, why not, and what they showed.

Not here: the alerts that a client reads (`tls.alerts`). Nothing is parsed while OpenSSL verifies: a
certificate may please its parser and displease ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cryptography import x509
from OpenSSL import SSL, crypto

from keystead.pki.serials import serial_hex
from keystead.pki.verdicts import NO_CERTIFICATE, verdict
from keystead.tls.judge import CRL_HAS_EXPIRED

MAX_PARSED = 64 * 1024
"""Octets of a refused certificate that are looked into for the log."""


@dataclass(slots=True)
class VerifyNote:
    """What the verify callback leaves behind: the first finding, unparsed. A connection's app data."""

    errno: int = 0
    depth: int = 0
    certificate: crypto.X509 | None = None

    def der(self) -> bytes | None:
        """The refused certificate as it came; None where there was none or it cannot be written out."""
        if self.certificate is None:
            return None
        try:
            return crypto.dump_certificate(crypto.FILETYPE_ASN1, self.certificate)
        except crypto.Error:
            return None


@dataclass(frozen=True, slots=True)
class RefusedHandshake:
    """A client that did not get in. ``code`` is for machines, ``reason`` one sentence for people.

    ``depth`` counts from the leaf (0) and ``certificate`` is what was found fault with, in DER, both None
    where no certificate was; ``detail`` is OpenSSL's own words.
    """

    address: str
    code: str
    reason: str
    depth: int | None = None
    certificate: bytes | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Presented:
    """What a refused certificate says of itself. None of it is true: nobody vouches for it."""

    serial: str
    subject: str
    uris: tuple[str, ...]
    not_after: str


_WITHOUT_FINDING: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "peer did not return a certificate": (NO_CERTIFICATE.code, "the client presented no certificate"),
        "http request": ("not-tls", "the client spoke plain HTTP"),
        "wrong version number": ("not-tls", "the client spoke something that is not TLS"),
        "packet length too long": ("not-tls", "the client spoke something that is not TLS"),
        "record layer failure": ("not-tls", "the client spoke something that is not TLS"),
        "unsupported protocol": ("old-tls", "the client speaks older versions of TLS only"),
        "no shared cipher": ("no-cipher", "client and server have no cipher suite in common"),
        "no suitable key share": ("no-group", "client and server have no key exchange in common"),
        "excessive message size": ("too-large", "the client sent a larger handshake than is read"),
    }
)
"""OpenSSL's reason string → code and sentence, where the verify callback was not asked."""


def verify_callback(
    crls_usable_until: float, clock: Callable[[], float]
) -> Callable[[SSL.Connection, crypto.X509, int, int, int], bool]:
    """What OpenSSL asks where it looks into all lists itself. True would accept, so it repeats OpenSSL's own
    answer, but once:

    a CRL past its nextUpdate is still used until ``crls_usable_until`` (Unix seconds); OpenSSL then goes on
    and looks into it, so that a revoked certificate is refused all the same.
    """

    def callback(
        connection: SSL.Connection, certificate: crypto.X509, errno: int, depth: int, ok: int
    ) -> bool:
        if ok:
            return True
        if errno == CRL_HAS_EXPIRED and clock() < crls_usable_until:
            return True
        note_down(connection, errno, depth, certificate)
        return False

    return callback


def note_down(connection: SSL.Connection, errno: int, depth: int, certificate: crypto.X509) -> None:
    """Leave the finding with ``connection``, if it is the first."""
    note = connection.get_app_data()
    if isinstance(note, VerifyNote) and note.certificate is None:
        note.errno, note.depth, note.certificate = errno, depth, certificate


def refused(address: str, note: VerifyNote, error: SSL.Error) -> RefusedHandshake:
    """The report on a handshake that ended in ``error``. Never raises."""
    words = _words(error)
    detail = "; ".join(words)
    if note.certificate is not None:
        found = verdict(note.errno)
        who = (
            "the client's certificate"
            if note.depth == 0
            else f"a CA certificate above it (depth {note.depth})"
        )
        return RefusedHandshake(
            address, found.code, f"{who} {found.sentence}", note.depth, note.der(), detail
        )
    for word in words:
        if word in _WITHOUT_FINDING:
            code, sentence = _WITHOUT_FINDING[word]
            return RefusedHandshake(address, code, sentence, detail=detail)
        if "alert" in word:
            return RefusedHandshake(
                address, "refused-by-client", f"the client ended it: {word}", detail=detail
            )
    return RefusedHandshake(address, "handshake-failed", "the handshake failed", detail=detail)


def _words(error: SSL.Error) -> tuple[str, ...]:
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else ()
    return tuple(str(entry[-1]).lower() for entry in queue)


def presented(der: bytes) -> Presented | None:
    """What the certificate says of itself, for the log; None where it cannot be read. Never raises."""
    if len(der) > MAX_PARSED:
        return None
    try:
        certificate = x509.load_der_x509_certificate(der)
        return Presented(
            serial=serial_hex(certificate.serial_number),
            subject=certificate.subject.rfc4514_string(),
            uris=_uris(certificate),
            not_after=f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        )
    except Exception:  # noqa: BLE001  a stranger's octets: the parser's errors are of many types
        return None


def _uris(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(san.get_values_for_type(x509.UniformResourceIdentifier))
