"""Certificates, CSRs, revocation lists, keys and endpoints in words that a tired person reads.

Pure: what comes in is parsed already. Not here: reading files (`inspect`), and printing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID

from keystead.errors import KeysteadError
from keystead.pki.certificates import (
    common_name,
    extended_key_usages,
    host_names,
    identity_of,
    is_ca,
    trust_domain_of_ca,
)
from keystead.pki.csr import CertificateRequest
from keystead.pki.expiry import in_words, stamp, when
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import describe as key_type
from keystead.pki.revocation import crl_number, next_update
from keystead.pki.serials import serial_hex
from keystead.wire.place import place_of

if TYPE_CHECKING:
    from keystead.tls.probe import Probed

_SHOWN_REVOCATIONS = 20
_PURPOSES = {
    ExtendedKeyUsageOID.CLIENT_AUTH: "client (clientAuth)",
    ExtendedKeyUsageOID.SERVER_AUTH: "server (serverAuth)",
}

Json = str | int | bool | None | list[str]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is said: its key and value for machines, its label and text for people."""

    key: str
    value: Json
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Description:
    """One thing in words: what it is, its lines, and what is wrong with it."""

    kind: str
    title: str
    lines: tuple[Line, ...]
    warnings: tuple[str, ...] = ()


def certificate(found: x509.Certificate, now: datetime) -> Description:
    """A certificate: whose, from whom, until when, for what."""
    authority = is_ca(found)
    start, end = found.not_valid_before_utc, found.not_valid_after_utc
    names = host_names(found).texts
    lines = [
        _text("identity", "identity", _identity(found, authority=authority)),
        _text("subject", "subject", found.subject.rfc4514_string()),
        _text("issuer", "issuer", found.issuer.rfc4514_string()),
        _text("serial", "serial", serial_hex(found.serial_number)),
        Line("not_before", stamp(start), "good from", when(start)),
        Line("not_after", stamp(end), "good until", _end(end, now)),
        _list("purposes", "good for", "a CA" if authority else "", _purposes(extended_key_usages(found))),
        *([_list("host_names", "covers", "", names)] if names else []),
        *_key_lines(found.public_key()),
        _text("fingerprint", "fingerprint", str(Fingerprint.of_certificate(found))),
    ]
    warnings = []
    if end <= now:
        warnings.append(f"it expired {in_words(now - end)} ago: nobody accepts it any more")
    if start > now:
        warnings.append(f"it is not valid yet: it begins in {in_words(start - now)}; is the clock right?")
    kind = "CA certificate" if authority else "certificate"
    return Description("certificate", f"{kind} of {common_name(found)}", tuple(lines), tuple(warnings))


def request(found: CertificateRequest) -> Description:
    """A CSR: what it asks for; nothing of it is granted yet."""
    name = found.common_name or ""
    lines = [
        _text("common_name", "asks for", name or "nobody (no single CN)"),
        _list("purposes", "to be good for", "whatever the CA grants", _purposes(found.purposes)),
        *([_list("host_names", "to cover", "", found.host_names.texts)] if found.host_names else []),
        *_key_lines(found.public_key),
        *([_text("renews", "renews", found.proof.serial)] if found.proof else []),
        *([_list("left_out", "asks in vain for", "", found.left_out)] if found.left_out else []),
    ]
    warnings = [] if found.proves_possession else ["its signature is not by the key that it holds"]
    if found.bad_host_names:
        warnings.append(f"these are no host names: {', '.join(found.bad_host_names)}")
    return Description("csr", f"CSR of {name}", tuple(lines), tuple(warnings))


def revocation_list(found: x509.CertificateRevocationList, now: datetime) -> Description:
    """A revocation list: whose, how fresh, and who is on it."""
    due = next_update(found)
    entries = [f"{serial_hex(entry.serial_number)} on {when(entry.revocation_date_utc)}" for entry in found]
    shown = "; ".join(entries[:_SHOWN_REVOCATIONS])
    more = len(entries) - _SHOWN_REVOCATIONS
    lines = [
        _text("issuer", "issuer", found.issuer.rfc4514_string()),
        Line("number", crl_number(found), "number", str(crl_number(found))),
        Line("this_update", stamp(found.last_update_utc), "made", when(found.last_update_utc)),
        Line("next_update", stamp(due), "good until", _end(due, now)),
        Line("revoked", entries, "revoked", f"{len(entries)}" + (f": {shown}" if shown else "")),
        *([Line("more", more, "", f"and {more} more")] if more > 0 else []),
    ]
    warnings = (f"it was due for renewal {in_words(now - due)} ago",) if due <= now else ()
    return Description("crl", "revocation list", tuple(lines), warnings)


def private_key(public_key: PublicKeyTypes, warnings: Iterable[str]) -> Description:
    """A private key, by its public half alone."""
    return Description(
        "private-key",
        "private key (its content is never shown)",
        _key_lines(public_key),
        ("never copy it: whoever has it is its owner", *warnings),
    )


def opaque_key(how: str, warnings: Iterable[str] = ()) -> Description:
    """A private key that is not opened here; ``how`` says why."""
    return Description("private-key", f"private key, {how}", (), tuple(warnings))


def endpoint(found: Probed) -> Description:
    """A TLS endpoint, as it showed itself to somebody without a certificate."""
    asks = found.asks_for_certificate
    lines = (
        _text("protocol", "protocol", found.protocol),
        _text("cipher", "cipher", found.cipher),
        _text("group", "key exchange", found.group or "not told"),
        Line("asks_for_certificate", asks, "mutual TLS", _ASKS[asks]),
    )
    return Description("endpoint", f"endpoint {place_of(found.host, found.port)}", lines)


_ASKS = {True: "it asks for a client certificate", False: "it asks for no client certificate"}


def _text(key: str, label: str, text: str) -> Line:
    return Line(key, text, label, text)


def _list(key: str, label: str, otherwise: str, values: Iterable[str]) -> Line:
    found = list(values)
    return Line(key, found, label, ", ".join(found) or otherwise or "nothing")


def _key_lines(key: PublicKeyTypes) -> tuple[Line, ...]:
    return (
        _text("key_type", "key", key_type(key)),
        _text("key_fingerprint", "key fingerprint", str(Fingerprint.of_key(key))),
    )


def _end(end: datetime, now: datetime) -> str:
    left = f"{in_words(end - now)} left" if end > now else f"{in_words(now - end)} ago"
    return f"{when(end)} ({left})"


def _identity(found: x509.Certificate, *, authority: bool) -> str:
    try:
        return trust_domain_of_ca(found).uri if authority else identity_of(found).uri
    except KeysteadError:
        return "none that keystead knows"


def _purposes(purposes: Iterable[x509.ObjectIdentifier]) -> list[str]:
    return sorted(_PURPOSES.get(oid, oid.dotted_string) for oid in purposes)
