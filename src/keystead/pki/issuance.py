"""Issuing: from an approved request to a certificate, and the two CA certificates above it.

Pure but for the signature: serial numbers and time are arguments, and nothing but an `ApprovedRequest` can
reach the issuing key. Not here: whether it may be issued (`policy`), and recording it (`ca.authority`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from keystead.errors import Unavailable
from keystead.pki.certificates import common_name, subject_key_id
from keystead.pki.csr import general_names
from keystead.pki.expiry import BACKDATE, when
from keystead.pki.facts import ApprovedRequest
from keystead.pki.keys import PrivateKey, PublicKey, digest_for
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


def issue(
    request: ApprovedRequest, profile: Profile, issuer: Issuer, *, serial: int, now: datetime
) -> IssuedCertificate:
    """The leaf certificate for ``request``, good from five minutes before ``now`` (RFC 5280, section 4).

    It never outlives its issuer. Raises as `check_issuing` does.
    """
    check_issuing(issuer.certificate, now)
    start = now.replace(microsecond=0)
    not_after = min(start + request.lifetime, issuer.certificate.not_valid_after_utc)
    identity = request.identity
    san = [x509.UniformResourceIdentifier(identity.uri), *general_names(request.host_names)]
    key = load_der_public_key(request.spki)
    assert isinstance(key, PublicKey)  # by policy's rule of strength
    builder = _builder(
        subject=_leaf_name(identity.environment, identity.name),
        issuer=issuer.certificate.subject,
        key=key,
        serial=serial,
        dates=(start - BACKDATE, not_after),
    )
    builder = builder.add_extension(_NOT_A_CA, critical=True)
    builder = builder.add_extension(_LEAF_USAGE, critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(profile.purposes), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(san), critical=False)
    certificate = _sign(builder, issuer)
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
    )
    return _as_ca(builder, trust_domain, path_length=1).sign(key, digest_for(key))


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
    )
    return _sign(_as_ca(builder, trust_domain, path_length=0), root)


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
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key,
        serial_number=serial,
        not_valid_before=dates[0],
        not_valid_after=dates[1],
    )
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _as_ca(
    builder: x509.CertificateBuilder, trust_domain: TrustDomain, *, path_length: int
) -> x509.CertificateBuilder:
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(trust_domain.uri)])
    return (
        builder.add_extension(constraints, critical=True)
        .add_extension(_CA_USAGE, critical=True)
        .add_extension(san, critical=False)
    )


def _sign(builder: x509.CertificateBuilder, issuer: Issuer) -> x509.Certificate:
    key_id = subject_key_id(issuer.certificate)
    authority = x509.AuthorityKeyIdentifier(key_id, None, None)
    for extension in (authority, *issuer.authorship.extensions(key_id)):
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer.key, digest_for(issuer.key))
