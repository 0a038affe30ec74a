"""Certificate revocation lists: reasons, making one, reading some (RFC 5280, section 5).

Not here: where lists lie, which one is in force, and how a newer one is fetched (`tls.crls`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.errors import BadInput, WrongUsage
from keystead.pki.expiry import BACKDATE
from keystead.pki.keys import PrivateKey, digest_for
from keystead.pki.signedlists import Pause, SignedList, find_lists, no_pause

REASONS: Mapping[str, x509.ReasonFlags] = MappingProxyType(
    {
        reason.value: reason
        for reason in (
            x509.ReasonFlags.unspecified,
            x509.ReasonFlags.key_compromise,
            x509.ReasonFlags.affiliation_changed,
            x509.ReasonFlags.superseded,
            x509.ReasonFlags.cessation_of_operation,
            x509.ReasonFlags.privilege_withdrawn,
        )
    }
)
"""The reasons that an operator may give, by the RFC's name (RFC 5280, section 5.3.1).

``certificateHold`` is left out, for a revocation here is for ever; the CA's own and the attribute
authority's reasons are left out, for they do not concern a subscriber.
"""

KEY_COMPROMISE = "keyCompromise"
"""The one reason that also bars the key."""

MAX_CRL_OCTETS = 64 * 1024 * 1024
"""Of a file of lists: a million entries, 40 octets each, in base64."""

MAX_CRLS = 20
"""Lists in one file: two for each issuing CA that is alive at once."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """A certificate's end before its time, as a list tells it (RFC 5280, section 5.3).

    ``serial`` is lower-case hex, ``reason`` the RFC's word: keyCompromise …
    """

    serial: str
    revoked_at: datetime
    reason: str


def parse_reason(text: str) -> str:
    """The reason that ``text`` names, in any case and with or without hyphens; raises `WrongUsage`."""
    wanted = re.sub(r"[^a-z]", "", text.lower())
    for name in REASONS:
        if name.lower() == wanted:
            return name
    raise WrongUsage(
        f"{text!r} is not a reason for a revocation",
        mend=f"choose one of {', '.join(REASONS)} (--reason)",
    )


def next_number(last: int, now: datetime) -> int:
    """The CRL number to use: max(last + 1, Unix seconds), so that a restored CA never goes backwards."""
    return max(last + 1, int(now.timestamp()))


def build_crl(
    issuer: x509.Certificate,
    key: PrivateKey,
    entries: Iterable[Revocation],
    *,
    number: int,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateRevocationList:
    """The CRL of ``issuer`` over ``entries``, good for ``lifetime`` from ``now`` (RFC 5280, section 5.1)."""
    moment = now.replace(microsecond=0)
    builder = x509.CertificateRevocationListBuilder(
        issuer.subject,
        moment - BACKDATE,  # for clocks that run behind: they would call the list not valid yet
        moment + lifetime,
        revoked_certificates=[_entry(entry) for entry in entries],
    )
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    builder = builder.add_extension(_authority_key(issuer), critical=False)
    return builder.sign(key, digest_for(key))


def _entry(entry: Revocation) -> x509.RevokedCertificate:
    builder = (
        x509.RevokedCertificateBuilder()
        .serial_number(int(entry.serial, 16))
        .revocation_date(entry.revoked_at.replace(microsecond=0))
    )
    reason = REASONS.get(entry.reason, x509.ReasonFlags.unspecified)
    if reason is not x509.ReasonFlags.unspecified:  # which should be left out: RFC 5280, section 5.3.1
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    return builder.build()


def _authority_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    ski = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski)


def load_crls(data: bytes, source: str) -> tuple[x509.CertificateRevocationList, ...]:
    """The lists in ``data``, PEM (one or more) or one in DER; ``source`` names it in errors.

    Raises `BadInput` where there is none, one that cannot be parsed or has no CRL number and issuer key
    (RFC 5280 asks for both: sections 5.2.1 and 5.2.3), or more than `MAX_CRLS`.
    """
    return tuple(found.crl for found in load_signed_lists(data, source))


def load_signed_lists(data: bytes, source: str, pause: Pause = no_pause) -> tuple[SignedList, ...]:
    """The same with their octets, for those who go on to check signatures; ``pause`` as it is there."""
    try:
        found = [SignedList.parse(der, pause) for der in find_lists(data, pause, most=MAX_CRLS)]
        for crl in (signed.crl for signed in found):
            crl_number(crl)
            issuer_key(crl)
            _ = (crl.issuer, crl.last_update_utc, crl.next_update_utc)
    except Exception:  # noqa: BLE001  the parser's errors are of many types; none may reach a user
        raise _unreadable(
            source,
            "it is damaged, or no list in PEM or DER that says its number and by which key it was signed",
        ) from None
    if not found:
        raise _unreadable(source, "it holds no -----BEGIN X509 CRL----- block")
    if len(found) > MAX_CRLS:
        raise _unreadable(source, f"it holds more than the {MAX_CRLS} lists that are read")
    return tuple(found)


def _unreadable(source: str, why: str) -> BadInput:
    return BadInput(
        f"{source} holds no revocation list that can be read",
        why=why,
        mend="take crl.pem from the CA again: keystead ca crl --out crl.pem   (there)",
        code="bad-crl",
    )


def crl_to_pem(*crls: x509.CertificateRevocationList) -> bytes:
    """The lists as PEM, in the order given."""
    return b"".join(crl.public_bytes(Encoding.PEM) for crl in crls)


def crl_number(crl: x509.CertificateRevocationList) -> int:
    """The list's number (RFC 5280, section 5.2.3)."""
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def issuer_key(crl: x509.CertificateRevocationList) -> bytes:
    """The key identifier of the list's issuer (RFC 5280, section 5.2.1): what tells two issuers apart.

    Raises `ValueError` where there is none: OpenSSL would take such a list for that of any CA of its name.
    """
    key_id = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    if not key_id:
        raise ValueError("it does not say by which key it was signed")
    return key_id


def next_update(crl: x509.CertificateRevocationList) -> datetime:
    """When a newer list is due; a list without the date is due at once (RFC 5280, section 5.1.2.5)."""
    return crl.next_update_utc or datetime.fromtimestamp(0, UTC)
