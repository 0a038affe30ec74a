"""Whether a certificate can be trusted: the path to an anchor, its trust domain, its revocation.

The path is OpenSSL's work (RFC 5280, section 6); the agreement on one trust domain and the reading of
revocation lists, whose grace OpenSSL does not know, are done here. Not here: TLS (`tls.contexts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from OpenSSL.crypto import X509, X509Store, X509StoreContext, X509StoreContextError
from OpenSSL.crypto import Error as OpenSSLError

from keystead.errors import Distrusted
from keystead.pki.certificates import (
    common_name,
    identity_of,
    issuer_name,
    subject_key_id,
    trust_domain_of_ca,
)
from keystead.pki.expiry import CRL_GRACE, when
from keystead.pki.names import Identity, TrustDomain
from keystead.pki.revocation import issuer_key, next_update
from keystead.pki.serials import serial_hex
from keystead.pki.verdicts import (
    CRL_INVALID,
    CRL_MISSING,
    CRL_STALE,
    EXPIRED,
    FOREIGN_DOMAIN,
    MALFORMED,
    NOT_YET_VALID,
    REVOKED,
    UNKNOWN_CA,
    verdict,
)

Crl = x509.CertificateRevocationList


@dataclass(frozen=True, slots=True)
class VerifiedChain:
    """A chain, leaf first and anchor last, that was verified at one moment; whose, and in which domain."""

    certificates: tuple[x509.Certificate, ...]
    identity: Identity

    @property
    def leaf(self) -> x509.Certificate:
        """The subscriber's certificate."""
        return self.certificates[0]

    @property
    def trust_domain(self) -> TrustDomain:
        """What all of the chain agrees on."""
        return self.identity.trust_domain


def verify(
    leaf: x509.Certificate,
    intermediates: Iterable[x509.Certificate],
    anchors: Iterable[x509.Certificate],
    *,
    now: datetime,
    crls: Sequence[Crl] | None = None,
) -> VerifiedChain:
    """The chain from ``leaf`` to one of ``anchors``, verified at ``now``.

    With ``crls``, each certificate below the anchor must have its issuer's list among them, fresh or within
    the grace, and must not be on it; None leaves revocation alone. Raises `Distrusted`, whose ``code`` is
    a verdict's.
    """
    chain = _build_path(leaf, intermediates, anchors, now)
    verified = VerifiedChain(chain, identity_of(leaf))
    for ca in chain[1:]:
        if (domain := trust_domain_of_ca(ca)) != verified.trust_domain:
            raise Distrusted(
                f"the certificate of {common_name(leaf)!r} mixes two environments",
                why=f"it says {verified.trust_domain}, and its CA {common_name(ca)!r} says {domain}",
                mend="take the certificate and the ca.crt of one environment",
                code=FOREIGN_DOMAIN.code,
            )
    if crls is not None:
        for certificate, issuer in pairwise(chain):
            check_revocation(certificate, issuer, crls, now)
    return verified


def check_revocation(
    certificate: x509.Certificate, issuer: x509.Certificate, crls: Iterable[Crl], now: datetime
) -> None:
    """Raise `Distrusted` unless ``issuer``'s list is among ``crls``, usable, and clears ``certificate``."""
    crl = _list_of(issuer, crls)
    whom = f"{common_name(certificate)!r} (serial {serial_hex(certificate.serial_number)})"
    entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if entry is not None:
        raise Distrusted(
            f"the certificate of {whom} is revoked",
            why=f"its issuer {common_name(issuer)!r} revoked it on {when(entry.revocation_date_utc)}",
            mend="make a new key and CSR (keystead csr NAME) and have it signed",
            code=REVOKED.code,
        )
    if now > next_update(crl) + CRL_GRACE:
        raise Distrusted(
            f"whether the certificate of {whom} is revoked cannot be told",
            why=f"the list of {common_name(issuer)!r} was due for renewal on {when(next_update(crl))},"
            f" and its grace of {CRL_GRACE.days} days is over",
            mend="fetch a fresh crl.pem from the CA: keystead ca crl --out crl.pem   (there)",
            code=CRL_STALE.code,
        )


def _list_of(issuer: x509.Certificate, crls: Iterable[Crl]) -> Crl:
    key_id = subject_key_id(issuer)
    candidates = [crl for crl in crls if issuer_key(crl) == key_id and crl.issuer == issuer.subject]
    if not candidates:
        raise Distrusted(
            f"there is no revocation list of {common_name(issuer)!r}",
            why="crl.pem must hold the lists of both the issuing CA and the root",
            mend="fetch a fresh crl.pem from the CA: keystead ca crl --out crl.pem   (there)",
            code=CRL_MISSING.code,
        )
    key = issuer.public_key()
    for crl in candidates:
        if crl.is_signature_valid(key):  # type: ignore[arg-type]  # a CA's key is of a type that signs
            return crl
    raise Distrusted(
        f"the revocation list of {common_name(issuer)!r} was not signed by it",
        why="somebody else made it, or it is damaged",
        mend="fetch crl.pem from the CA again",
        code=CRL_INVALID.code,
    )


def _build_path(
    leaf: x509.Certificate,
    intermediates: Iterable[x509.Certificate],
    anchors: Iterable[x509.Certificate],
    now: datetime,
) -> tuple[x509.Certificate, ...]:
    store, anchors = X509Store(), tuple(anchors)
    for anchor in anchors:
        store.add_cert(_for_openssl(anchor))
    store.set_time(now)
    context = X509StoreContext(store, _for_openssl(leaf), [*map(_for_openssl, intermediates)])
    try:
        found = context.get_verified_chain()
    except X509StoreContextError as error:
        raise _distrust(error, anchors, now) from None
    return tuple(certificate.to_cryptography() for certificate in found)


def _for_openssl(certificate: x509.Certificate) -> X509:
    """The same, read by OpenSSL, which refuses some that cryptography has read: `Distrusted`."""
    try:
        return X509.from_cryptography(certificate)
    except OpenSSLError:
        raise Distrusted(
            f"the certificate of {common_name(certificate)!r} {MALFORMED.sentence}",
            why="OpenSSL cannot read it",
            mend="fetch it from the CA again",
            code=MALFORMED.code,
        ) from None


def _distrust(error: X509StoreContextError, anchors: Iterable[x509.Certificate], now: datetime) -> Distrusted:
    errno, depth, text = error.errors
    culprit = error.certificate.to_cryptography()
    said = verdict(errno)
    role = "certificate" if depth == 0 else "CA certificate"
    why = {
        EXPIRED: f"it ended on {when(culprit.not_valid_after_utc)}, and it is {when(now)}",
        NOT_YET_VALID: f"it begins on {when(culprit.not_valid_before_utc)}, and it is {when(now)}",
        UNKNOWN_CA: f"it was issued by {issuer_name(culprit)!r}, and ca.crt holds "
        + (", ".join(repr(common_name(anchor)) for anchor in anchors) or "no CA"),
    }.get(said, f"OpenSSL says: {text}")
    mend = {
        EXPIRED: "renew it: keystead csr NAME, then have it signed",
        NOT_YET_VALID: "set this machine's clock right, or wait",
        UNKNOWN_CA: "take ca.crt from the CA that signed it (`keystead show ca.crt` names it)",
    }.get(said, "")
    return Distrusted(
        f"the {role} of {common_name(culprit)!r} {said.sentence}", why=why, mend=mend, code=said.code
    )
