"""Throw-away environments for the door's tests: root, issuing CA, leaves and CRLs, made in milliseconds."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keystead.pki.certificates import to_pem
from keystead.pki.keys import KeyType, PrivateKey, digest_for, generate, private_pem
from keystead.pki.names import TrustDomain
from keystead.pki.revocation import Revocation, build_crl, crl_to_pem
from keystead.tls.contexts import ServerCredentials
from keystead.tls.crls import NO_CRLS, CrlSet, advance

PURPOSES = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}
HOSTS = ("localhost", "127.0.0.1", "::1")


def now() -> datetime:
    return datetime.now(UTC)


def _name(*, unit: str, common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


@dataclass(frozen=True)
class Pair:
    """A certificate, its key, and the CA certificates that travel with it."""

    certificate: x509.Certificate
    key: PrivateKey
    above: tuple[x509.Certificate, ...] = ()

    @cached_property
    def chain_pem(self) -> bytes:
        return to_pem(self.certificate, *self.above)

    @cached_property
    def key_pem(self) -> bytes:
        return private_pem(self.key)

    @property
    def serial(self) -> str:
        return f"{self.certificate.serial_number:x}"

    @cached_property
    def context(self) -> ssl.SSLContext:
        """A stdlib client context that presents this pair and looks at no server certificate."""
        return client_context(self.chain_pem, self.key_pem)


def client_context(chain: bytes, key: bytes) -> ssl.SSLContext:
    """A stdlib client context that presents ``chain`` and looks at no server certificate."""
    context = anonymous_context()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "chain").write_bytes(chain)
        Path(folder, "key").write_bytes(key)
        context.load_cert_chain(Path(folder, "chain"), Path(folder, "key"))
    return context


def anonymous_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # as Debian 12's Python sets it
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass
class Environment:
    """A root and an issuing CA of one trust domain, and the type of all keys there."""

    trust_domain: TrustDomain
    key_type: KeyType = KeyType.P256
    root: Pair = field(init=False)
    issuing: Pair = field(init=False)

    def __post_init__(self) -> None:
        self.root = self.authority("root", None, path_length=1)
        self.issuing = self.authority("issuing", self.root, path_length=0)

    def authority(
        self, common: str, issuer: Pair | None, *, path_length: int, uri: str | None = None
    ) -> Pair:
        uri = self.trust_domain.uri if uri is None else uri
        key = generate(self.key_type)
        subject = _name(unit=self.trust_domain.environment, common=f"{self.trust_domain} {common}")
        builder = (
            self._builder(
                subject, issuer.certificate.subject if issuer else subject, key, timedelta(days=365)
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
            .add_extension(_ca_usage(), critical=True)
        )
        if uri:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False
            )
        signer = issuer or Pair(None, key)  # type: ignore[arg-type]  # a root signs itself
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), critical=False
        )
        return Pair(builder.sign(signer.key, digest_for(signer.key)), key)

    def leaf(
        self,
        name: str,
        profile: str = "client",
        *,
        uri: str | None = None,
        lifetime: timedelta = timedelta(days=30),
        issuer: Pair | None = None,
        above: tuple[Pair, ...] | None = None,
        padding: int = 0,
        key_type: KeyType | None = None,
    ) -> Pair:
        """A leaf of this environment; an empty ``uri`` leaves the identity out."""
        issuer = issuer or self.issuing
        uri = f"{self.trust_domain.uri}/{profile}/{name}" if uri is None else uri
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)] if uri else []
        if profile == "server":
            names.append(x509.DNSName("localhost"))
        key = generate(key_type or self.key_type)
        subject = _name(unit=self.trust_domain.environment, common=name)
        builder = (
            self._builder(subject, issuer.certificate.subject, key, lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([PURPOSES[profile]]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if padding:
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), bytes(padding)),
                critical=False,
            )
        sent = (self.issuing,) if above is None else above
        return Pair(builder.sign(issuer.key, digest_for(issuer.key)), key, tuple(p.certificate for p in sent))

    @staticmethod
    def _builder(
        subject: x509.Name, issuer: x509.Name, key: PrivateKey, lifetime: timedelta
    ) -> x509.CertificateBuilder:
        start = now() - timedelta(minutes=5)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(start, now() + lifetime - timedelta(minutes=5)))
            .not_valid_after(now() + lifetime)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )

    def crls(
        self,
        *revoked: Pair,
        number: int = 1,
        made: datetime | None = None,
        lifetime: timedelta = timedelta(days=3),
        root_revokes: tuple[Pair, ...] = (),
    ) -> tuple[x509.CertificateRevocationList, ...]:
        """Both lists: the issuing CA's with ``revoked``, and the root's."""
        made = made or now() - timedelta(minutes=1)
        return tuple(
            build_crl(
                ca.certificate,
                ca.key,
                [Revocation(pair.serial, made, "keyCompromise") for pair in pairs],
                number=number,
                now=made,
                lifetime=lifetime,
            )
            for ca, pairs in ((self.issuing, revoked), (self.root, root_revokes))
        )

    def crl_pem(self, *revoked: Pair, number: int = 1, lifetime: timedelta = timedelta(days=3)) -> bytes:
        return crl_to_pem(*self.crls(*revoked, number=number, lifetime=lifetime))

    def crl_set(self, *lists: x509.CertificateRevocationList) -> CrlSet:
        taken = advance(
            NO_CRLS,
            lists or self.crls(),
            authorities=(self.root.certificate, self.issuing.certificate),
            floors={},
            now=now(),
        )
        assert not taken.refusals
        return taken.crls

    def credentials(self, server: Pair, *more_anchors: x509.Certificate) -> ServerCredentials:
        return ServerCredentials(
            server.chain_pem, server.key_pem, (self.root.certificate, *more_anchors), self.trust_domain
        )


def _ca_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def odd_list(environment: Environment) -> x509.CertificateRevocationList:
    """A list that cryptography reads and OpenSSL does not: its issuer's name is of octets."""
    template, _ = environment.crls()
    name = str(template.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value).encode()
    spelled = bytes([len(name)]) + name
    der = template.public_bytes(Encoding.DER).replace(b"\x0c" + spelled, b"\x04" + spelled)
    return x509.load_der_x509_crl(der)
