"""Issuing: from an approved request to a certificate, and the two CA certificates above it.

Pure but for the signature: serial numbers and time are arguments, and nothing but an `ApprovedRequest` can
reach the issuing key. Not here: whether it may be issued (`policy`), and recording it (`ca.authority`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from keystead.errors import Unavailable
from keystead.pki.certificates import common_name, subject_key_id
from keystead.pki.csr import general_names
from keystead.pki.expiry import BACKDATE, when
from keystead.pki.facts import ApprovedRequest
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import SHA2, PrivateKey, PublicKey, digest_for
from keystead.pki.names import TrustDomain
from keystead.pki.profiles import Profile
from keystead.pki.serials import serial_hex

ROOT_LIFETIME = timedelta(days=3650)
ISSUING_LIFETIME = timedelta(days=1095)

_OFF = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)
_LEAF_USAGE = x509.KeyUsage(**{**_OFF, "digital_signature": True})
_CA_USAGE = x509.KeyUsage(**{**_OFF, "key_cert_sign": True, "crl_sign": True})
_NOT_A_CA = x509.BasicConstraints(ca=False, path_length=None)

_Extension = x509.Extension[x509.ExtensionType]


@dataclass(frozen=True, slots=True)
class Authorship:
    """Where a certificate says that its issuer's CRL and certificate are found; None: it does not say."""

    public_url: str | None

    def extensions(self, issuer_key_id: bytes) -> list[x509.ExtensionType]:
        """CRL distribution point and AIA (RFC 5280, sections 4.2.1.13 and 4.2.2.1) for that issuer's key."""
        if self.public_url is None:
            return []
        base, key_id = self.public_url.rstrip("/"), issuer_key_id.hex()
        crl = x509.UniformResourceIdentifier(f"{base}/crl/{key_id}.crl")
        certificate = x509.UniformResourceIdentifier(f"{base}/ca/{key_id}.crt")
        return [
            x509.CRLDistributionPoints([x509.DistributionPoint([crl], None, None, None)]),
            x509.AuthorityInformationAccess(
                [x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, certificate)]
            ),
        ]


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA that can sign: its certificate, its key (or what signs like it), and what it says of itself."""

    certificate: x509.Certificate
    key: PrivateKey
    authorship: Authorship


@dataclass(frozen=True, slots=True)
class Template:
    """What all leaves of one profile and one issuer have in common: made once, for it is half of each."""

    issuer: Issuer
    digest: SHA2 | None
    extensions: tuple[_Extension, ...]

    @classmethod
    def of(cls, profile: Profile, issuer: Issuer) -> Self:
        """The template for leaves of ``profile``."""
        purposes = x509.ExtendedKeyUsage(profile.purposes)
        own = (_critical(_NOT_A_CA), _critical(_LEAF_USAGE), _plain(purposes))
        return cls(issuer, digest_for(issuer.key), (*own, *_of_issuer(issuer)))


@dataclass(frozen=True)
class IssuedCertificate:
    """A signed certificate that is not recorded yet."""

    serial: str
    der: bytes
    not_before: datetime
    not_after: datetime


def check_issuing(issuing: x509.Certificate, now: datetime) -> None:
    """Raise `Unavailable` where the issuing CA can issue nothing any more: what it signs would be expired."""
    if now >= issuing.not_valid_after_utc:
        raise Unavailable(
            f"nothing is signed: the issuing CA {common_name(issuing)!r} has expired",
            why=f"it ended on {when(issuing.not_valid_after_utc)}, and it is {when(now)}",
            mend="set this machine's clock right; or make a new environment: keystead ca init --env ENV",
            code="issuer-expired",
        )


def issue(request: ApprovedRequest, template: Template, *, serial: int, now: datetime) -> IssuedCertificate:
    """The leaf certificate for ``request``, good from five minutes before ``now`` (RFC 5280, section 4).

    It never outlives its issuer. Raises as `check_issuing` does.
    """
    issuer = template.issuer
    check_issuing(issuer.certificate, now)
    start = now.replace(microsecond=0)
    not_after = min(start + request.grant.lifetime, issuer.certificate.not_valid_after_utc)
    identity = request.identity
    san = [x509.UniformResourceIdentifier(identity.uri), *general_names(request.grant.host_names)]
    builder = _builder(
        subject=_leaf_name(identity.environment, identity.name),
        issuer=issuer.certificate.subject,
        key=request.public_key,
        serial=serial,
        dates=(start - BACKDATE, not_after),
        extensions=(
            _key_id(request.key_fingerprint),
            _plain(x509.SubjectAlternativeName(san)),
            *template.extensions,
        ),
    )
    certificate = builder.sign(issuer.key, template.digest)
    return IssuedCertificate(
        serial=serial_hex(serial),
        der=certificate.public_bytes(Encoding.DER),
        not_before=start - BACKDATE,
        not_after=not_after,
    )


def make_root(
    organization: str, trust_domain: TrustDomain, key: PrivateKey, *, serial: int, now: datetime
) -> x509.Certificate:
    """A self-signed root for ``trust_domain``: 10 years, path length 1."""
    start = now.replace(microsecond=0)
    name = _ca_name(organization, trust_domain, "root")
    builder = _builder(
        subject=name,
        issuer=name,
        key=key.public_key(),
        serial=serial,
        dates=(start - BACKDATE, start + ROOT_LIFETIME),
        extensions=_of_ca(key.public_key(), trust_domain, path_length=1),
    )
    return builder.sign(key, digest_for(key))


def make_issuing_ca(
    organization: str,
    trust_domain: TrustDomain,
    public_key: PublicKey,
    root: Issuer,
    *,
    serial: int,
    now: datetime,
) -> x509.Certificate:
    """The issuing CA under ``root``: 3 years, path length 0, no extended key usage."""
    start = now.replace(microsecond=0)
    builder = _builder(
        subject=_ca_name(organization, trust_domain, "issuing"),
        issuer=root.certificate.subject,
        key=public_key,
        serial=serial,
        dates=(start - BACKDATE, min(start + ISSUING_LIFETIME, root.certificate.not_valid_after_utc)),
        extensions=(*_of_ca(public_key, trust_domain, path_length=0), *_of_issuer(root)),
    )
    return builder.sign(root.key, digest_for(root.key))


def _ca_name(organization: str, trust_domain: TrustDomain, role: str) -> x509.Name:
    environment = trust_domain.environment
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, environment),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{organization} {environment} {role}"),
        ]
    )


def _leaf_name(environment: str, name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, environment),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _builder(
    *,
    subject: x509.Name,
    issuer: x509.Name,
    key: PublicKey,
    serial: int,
    dates: tuple[datetime, datetime],
    extensions: Iterable[_Extension],
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key,
        serial_number=serial,
        not_valid_before=dates[0],
        not_valid_after=dates[1],
        extensions=list(extensions),
    )


def _of_ca(key: PublicKey, trust_domain: TrustDomain, *, path_length: int) -> tuple[_Extension, ...]:
    san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(trust_domain.uri)])
    return (
        _key_id(Fingerprint.of_key(key)),
        _critical(x509.BasicConstraints(ca=True, path_length=path_length)),
        _critical(_CA_USAGE),
        _plain(san),
    )


def _of_issuer(issuer: Issuer) -> tuple[_Extension, ...]:
    key_id = subject_key_id(issuer.certificate)
    authority = x509.AuthorityKeyIdentifier(key_id, None, None)
    return tuple(map(_plain, (authority, *issuer.authorship.extensions(key_id))))


def _key_id(fingerprint: Fingerprint) -> _Extension:
    # The hash of the whole SubjectPublicKeyInfo (RFC 7093, section 2, method 4), which is at hand.
    return _plain(x509.SubjectKeyIdentifier(fingerprint.digest))


def _plain(value: x509.ExtensionType) -> _Extension:
    return x509.Extension(value.oid, critical=False, value=value)


def _critical(value: x509.ExtensionType) -> _Extension:
    return x509.Extension(value.oid, critical=True, value=value)
