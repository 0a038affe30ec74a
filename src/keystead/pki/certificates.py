"""Certificates as they are read: from files, and what they say of whom.

Not here: whether they can be trusted (`chains`), and how they are made (`issuance`).
"""

from __future__ import annotations

import shlex
from ipaddress import IPv4Address, IPv6Address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from keystead.errors import BadInput, Distrusted, KeysteadError
from keystead.pki.names import HostNames, Identity, TrustDomain, parse_trust_domain_uri
from keystead.pki.text import as_text
from keystead.pki.verdicts import NO_IDENTITY

MAX_CERTIFICATE_OCTETS = 1024 * 1024
"""Of a file of certificates."""

MAX_CERTIFICATES = 20
"""In one file: a chain is three long, a bundle of anchors a handful."""


def load_certificates(data: bytes, source: str) -> tuple[x509.Certificate, ...]:
    """The certificates in ``data``, PEM (one or more, in order) or one in DER; ``source`` names it in errors.

    Raises `BadInput` where there is none, one that cannot be parsed, or more than `MAX_CERTIFICATES`.
    """
    data = as_text(data)
    try:
        if b"-----BEGIN" not in data:
            found = [x509.load_der_x509_certificate(data)]
        else:
            found = x509.load_pem_x509_certificates(data)
        for certificate in found:
            # Lazily parsed parts are touched here, so that a broken one is refused by its file's name.
            certificate.public_key()
            _ = (certificate.extensions, certificate.subject, certificate.issuer, certificate.serial_number)
            _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    except Exception:  # noqa: BLE001  the parser's errors are of many types; none may reach a user
        raise BadInput(
            f"{source} holds no certificate that can be read",
            why=_why_unreadable(data),
            mend=f"look at it with: keystead show {shlex.quote(source)}",
            code="bad-certificate",
        ) from None
    if len(found) > MAX_CERTIFICATES:
        raise BadInput(f"{source} holds {len(found)} certificates; at most {MAX_CERTIFICATES} are read")
    return tuple(found)


def load_certificate(data: bytes, source: str) -> x509.Certificate:
    """The first certificate in ``data``, as `load_certificates` reads it."""
    return load_certificates(data, source)[0]


def _why_unreadable(data: bytes) -> str:
    if not data.strip():
        return "it is empty"
    if b"PRIVATE KEY-----" in data:
        return "it holds a private key; a certificate begins with -----BEGIN CERTIFICATE-----"
    if b"CERTIFICATE REQUEST-----" in data:
        return "it is a CSR: what is sent to the CA, not what comes back"
    return "it is damaged, or no certificate in PEM or DER"


def to_pem(*certificates: x509.Certificate) -> bytes:
    """The certificates as PEM, in the order given."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def identity_of(certificate: x509.Certificate) -> Identity:
    """Whom a leaf is for: its one URI SAN. Raises `Distrusted` where it has none, several, another kind."""
    uris = _uris(certificate)
    try:
        (uri,) = uris
        return Identity.parse(uri)
    except (ValueError, KeysteadError):
        raise Distrusted(
            f"the certificate of {common_name(certificate)!r} names no keystead identity",
            why=f"its URI SANs are: {', '.join(map(repr, uris)) or 'none'}",
            code=NO_IDENTITY.code,
        ) from None


def trust_domain_of_ca(certificate: x509.Certificate) -> TrustDomain:
    """The trust domain of a root or issuing CA: its one URI SAN. Raises `Distrusted` where it has none."""
    uris = _uris(certificate)
    try:
        (uri,) = uris
        return parse_trust_domain_uri(uri)
    except (ValueError, KeysteadError):
        raise Distrusted(
            f"the CA certificate {common_name(certificate)!r} names no trust domain",
            why=f"its URI SANs are: {', '.join(map(repr, uris)) or 'none'}",
            code=NO_IDENTITY.code,
        ) from None


def host_names(certificate: x509.Certificate) -> HostNames:
    """The DNS names and IP addresses that a certificate covers; names that we would not grant too."""
    san = _san(certificate)
    if san is None:
        return HostNames()
    dns = {name.lower() for name in san.get_values_for_type(x509.DNSName)}
    found = set(san.get_values_for_type(x509.IPAddress))
    ips = [ip for ip in found if isinstance(ip, IPv4Address | IPv6Address)]
    return HostNames(tuple(sorted(dns)), tuple(sorted(ips, key=lambda ip: (ip.version, ip))))


def common_name(certificate: x509.Certificate) -> str:
    """The subject's CN, for people; empty where there is none."""
    return _first_common_name(certificate.subject)


def issuer_name(certificate: x509.Certificate) -> str:
    """The issuer's CN, for people; empty where there is none."""
    return _first_common_name(certificate.issuer)


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether the basic constraints say CA:TRUE (RFC 5280, section 4.2.1.9)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def was_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether ``issuer`` is its issuer by name, and signed it."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def subject_key_id(certificate: x509.Certificate) -> bytes:
    """The subject key identifier (RFC 5280, section 4.2.1.2), empty where there is none."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return b""


def authority_key_id(certificate: x509.Certificate) -> bytes:
    """The issuer's key identifier (RFC 5280, section 4.2.1.1), empty where there is none."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return b""
    return found.value.key_identifier or b""


def extended_key_usages(certificate: x509.Certificate) -> frozenset[x509.ObjectIdentifier]:
    """The purposes that a certificate was issued for (RFC 5280, section 4.2.1.12)."""
    try:
        return frozenset(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return frozenset()


def has_key(certificate: x509.Certificate, key: CertificatePublicKeyTypes) -> bool:
    """Whether ``key`` is the one that the certificate binds."""
    return certificate.public_key() == key


def _san(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _uris(certificate: x509.Certificate) -> list[str]:
    san = _san(certificate)
    return san.get_values_for_type(x509.UniformResourceIdentifier) if san is not None else []


def _first_common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""
