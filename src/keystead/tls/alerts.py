"""TLS alerts as words: what a server's refusal means for this client, and what to type (RFC 8446, section 6).

An alert is one number, and one number stands for many reasons: one's own files are looked at first. Not
here: failures on this side of the connection (`tls.failures`).
"""

from __future__ import annotations

import re
import shlex
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from cryptography import x509

from keystead.errors import Distrusted, KeysteadError, Unavailable
from keystead.pki.certificates import common_name, issuer_name, subject_key_id
from keystead.pki.expiry import when
from keystead.pki.revocation import issuer_key
from keystead.pki.serials import serial_hex
from keystead.tls.client import ClientCredentials
from keystead.wire.place import place_of


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call: whom at what place, as whom (None: without a certificate), at what moment."""

    host: str
    port: int
    credentials: ClientCredentials | None
    now: datetime

    @property
    def place(self) -> str:
        """``host:port``."""
        return place_of(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an alert says: a slug, the end of "the server … refused", why, and what to type."""

    code: str
    what: str
    why: str
    mend: str


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of RFC 8446, section 6, and what it means to whoever receives it."""

    number: int
    name: str
    meaning: Meaning | Callable[[Attempt, ClientCredentials], Meaning]


def reason_of(error: ssl.SSLError) -> str:
    """OpenSSL's name of what went wrong, such as ``WRONG_VERSION_NUMBER``; empty where Python knows none."""
    return getattr(error, "reason", None) or ""  # which an error made by Python's own code lacks


def alert_of(error: ssl.SSLError) -> Alert | None:
    """The alert that the other side sent, where ``error`` tells of one."""
    reason = reason_of(error).lower()
    match = _REASON.fullmatch(reason) or _SENTENCE.search(str(error).lower())
    if match is None:
        return None
    name = match[1].replace(" ", "_").replace("cancelled", "canceled")
    return ALERTS.get(name)


_REASON = re.compile(r"(?:(?:sslv3|tlsv1|tlsv13)_(?:alert_)?|tls_alert_)([a-z_]+)")
_SENTENCE = re.compile(r"(?:sslv3|tlsv1|tlsv13|ssl/tls|tls) alert ([a-z ]+[a-z])")


def explain_alert(alert: Alert, attempt: Attempt) -> KeysteadError:
    """The error to show for an ``alert`` that ended ``attempt``."""
    meaning = alert.meaning
    if not isinstance(meaning, Meaning):
        meaning = meaning(attempt, attempt.credentials) if attempt.credentials is not None else _NOBODY
    kind = Unavailable if meaning.code == "tls-failed" else Distrusted
    return kind(
        f"the server {attempt.place} refused {meaning.what}",
        why=f"{meaning.why} (TLS alert {alert.number}, {alert.name})",
        mend=meaning.mend,
        code=meaning.code,
    )


def _in_folder(own: ClientCredentials) -> str:
    return f"--dir {shlex.quote(str(own.certificate_path.parent))}"


def _anew(own: ClientCredentials) -> str:
    """What gives a subscriber a new key and certificate where the old ones prove nothing any more."""
    name, old = own.key_path.stem, shlex.quote(str(own.key_path.parent / "old"))
    csr = own.key_path.with_suffix(".csr")
    files = [own.key_path, own.certificate_path, *([csr] if csr.exists() else [])]
    moved = " ".join(shlex.quote(str(path)) for path in files)
    return (
        f"mkdir -p -m 700 {old} && mv {moved} {old}/ && keystead csr {name}"
        f" {_in_folder(own)}; then have it signed, and keystead install"
    )


def _replace(own: ClientCredentials) -> str:
    return f"ask the CA why; for a new one: {_anew(own)}"


def _of_other_profile(own: ClientCredentials) -> str:
    return f"use a client's certificate: --name NAME {_in_folder(own)}, or make one: keystead csr NAME"


def _expired(attempt: Attempt, own: ClientCredentials) -> Meaning:
    for certificate in own.chain:
        if certificate.not_valid_after_utc <= attempt.now:
            whose = "" if certificate is own.leaf else f"the CA certificate {common_name(certificate)!r} in "
            return Meaning(
                "expired",
                "this client: its certificate has expired",
                f"{whose}{own.certificate_path} ended on {when(certificate.not_valid_after_utc)},"
                f" and it is {when(attempt.now)}",
                _anew(own),
            )
    return Meaning(
        "crl-stale",
        "this client, though its certificate has not expired",
        f"{own.certificate_path} is good until {when(own.leaf.not_valid_after_utc)}: so the server's"
        " revocation list is out of date, or its clock is wrong",
        "on the server: put a fresh crl.pem in place (keystead ca crl --out crl.pem, on the CA's machine)",
    )


def _revoked(_: Attempt, own: ClientCredentials) -> Meaning:
    return Meaning(
        "revoked",
        "this client: its certificate is revoked",
        _revocation_known_here(own)
        or f"the CA has revoked {own.certificate_path} (serial {serial_hex(own.leaf.serial_number)}),"
        " or a CA above it",
        _replace(own),
    )


def _revocation_known_here(own: ClientCredentials) -> str:
    for certificate, issuer in zip(own.chain, (*own.chain[1:], *own.anchors), strict=False):
        for crl in own.crls or ():
            entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
            if entry is not None and issuer_key(crl) == subject_key_id(issuer):
                return (
                    f"{own.crl_path} says that {common_name(certificate)!r} (serial"
                    f" {serial_hex(certificate.serial_number)}) was revoked on"
                    f" {when(entry.revocation_date_utc)}{_reason(entry)}"
                )
    return ""


def _reason(entry: x509.RevokedCertificate) -> str:
    try:
        return f", {entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value}"
    except x509.ExtensionNotFound:
        return ""


def _unknown_ca(_: Attempt, own: ClientCredentials) -> Meaning:
    return Meaning(
        "unknown-ca",
        "this client: it does not trust the CA of its certificate",
        f"{own.certificate_path} was issued by {issuer_name(own.leaf)!r} for {own.identity.trust_domain};"
        " the server is of another environment, or has no revocation list of that CA",
        "use the folder of the server's environment (--dir DIR), or its own server (--to URL)",
    )


def _bad_certificate(attempt: Attempt, own: ClientCredentials) -> Meaning:
    begins = own.leaf.not_valid_before_utc
    if begins > attempt.now:
        why = f"{own.certificate_path} begins on {when(begins)}, and it is {when(attempt.now)}"
        return Meaning(
            "not-yet-valid", "this client: its certificate is not valid yet", why, "wait until then"
        )
    return Meaning(
        "bad-certificate",
        "this client's certificate",
        f"it finds {own.certificate_path} malformed, too weak, or by its own clock not valid yet"
        f" (it begins on {when(begins)})",
        f"look at it: keystead show {shlex.quote(str(own.certificate_path))};"
        " and at the server's clock and log",
    )


def _wrong_purpose(_: Attempt, own: ClientCredentials) -> Meaning:
    return Meaning(
        "wrong-purpose",
        "this client: its certificate is for another purpose",
        f"{own.certificate_path} was issued to {own.identity}, whose extended key usage is not a client's",
        _of_other_profile(own),
    )


def _bad_signature(_: Attempt, own: ClientCredentials) -> Meaning:
    return Meaning(
        "bad-signature",
        "this client: a signature does not hold",
        f"the CA that the server trusts has the name {issuer_name(own.leaf)!r} but did not sign"
        f" {own.certificate_path}: it was made anew since, or it is another one of that name",
        _replace(own),
    )


def _unknown(_: Attempt, own: ClientCredentials) -> Meaning:
    return Meaning(
        "unverifiable",
        "this client's certificate, and does not say why",
        f"{own.certificate_path} is {own.identity}'s, issued by {issuer_name(own.leaf)!r}",
        "the reason stands in the server's log",
    )


_NOBODY = Meaning(
    "no-certificate",
    "a client without a certificate",
    "it lets in only clients that present one",
    "make a key and CSR (keystead csr NAME), have it signed and install it",
)


def _required(_: Attempt, own: ClientCredentials) -> Meaning:
    return Meaning(
        "no-certificate",
        "this client: it saw no certificate",
        f"{own.certificate_path} was not presented: something in between answers in this client's place",
        "connect to the server itself, not to a proxy that ends TLS",
    )


def _technical(what: str, why: str, mend: str = "") -> Meaning:
    return Meaning("tls-failed", what, why, mend or "the reason stands in the server's log")


_TOO_OLD = "the server must speak TLS 1.3; a proxy or an old library in between may not"
_DISTURBED = "something in between changes what is sent, or one side's TLS library is faulty"
_NO_COMMON = "client and server have no cipher suite, key exchange or signature in common"

_TABLE = (
    Alert(0, "close_notify", _technical("to go on", "it closed the connection")),
    Alert(10, "unexpected_message", _technical("the handshake", "it got a message out of turn", _DISTURBED)),
    Alert(20, "bad_record_mac", _technical("to go on", "it got a record that was changed", _DISTURBED)),
    Alert(22, "record_overflow", _technical("to go on", "it got a record that is too long", _DISTURBED)),
    Alert(40, "handshake_failure", _technical("the handshake", _NO_COMMON, _TOO_OLD)),
    Alert(42, "bad_certificate", _bad_certificate),
    Alert(43, "unsupported_certificate", _wrong_purpose),
    Alert(44, "certificate_revoked", _revoked),
    Alert(45, "certificate_expired", _expired),
    Alert(46, "certificate_unknown", _unknown),
    Alert(47, "illegal_parameter", _technical("the handshake", "it got a value out of range", _DISTURBED)),
    Alert(48, "unknown_ca", _unknown_ca),
    Alert(49, "access_denied", _unknown),
    Alert(50, "decode_error", _technical("the handshake", "it could not read a message", _DISTURBED)),
    Alert(51, "decrypt_error", _bad_signature),
    Alert(70, "protocol_version", _technical("this version of TLS", "it speaks no TLS 1.3", _TOO_OLD)),
    Alert(71, "insufficient_security", _technical("the handshake", _NO_COMMON, _TOO_OLD)),
    Alert(80, "internal_error", _technical("the handshake", "it has trouble of its own")),
    Alert(86, "inappropriate_fallback", _technical("the handshake", "it could do better", _TOO_OLD)),
    Alert(90, "user_canceled", _technical("the handshake", "somebody there stopped it", "try again")),
    Alert(109, "missing_extension", _technical("the handshake", "it misses an extension", _DISTURBED)),
    Alert(110, "unsupported_extension", _technical("the handshake", "it got one too many", _DISTURBED)),
    Alert(
        112, "unrecognized_name", _technical("this host name", "it serves no host of that name", "check --to")
    ),
    Alert(
        113, "bad_certificate_status_response", _technical("the handshake", "it disliked an OCSP response")
    ),
    Alert(115, "unknown_psk_identity", _technical("to resume a session", "it does not know it", "try again")),
    Alert(116, "certificate_required", _required),
    Alert(120, "no_application_protocol", _technical("the protocol", "it speaks no HTTP/1.1", "check --to")),
)

ALERTS: Mapping[str, Alert] = MappingProxyType({alert.name: alert for alert in _TABLE})
"""Every alert of RFC 8446, section 6, by its name there."""
