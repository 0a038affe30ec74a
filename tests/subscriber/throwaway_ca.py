"""A CA in memory for the subscriber's tests: it decides by `pki.policy` and signs by `pki.issuance`."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import count

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.pki import csr, policy
from keystead.pki.certificates import host_names, identity_of, to_pem
from keystead.pki.expiry import parse_lifetime
from keystead.pki.facts import ApprovedRequest, Facts, LiveKey, PriorCertificate, Wishes
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.issuance import Authorship, Issuer, Template, issue, make_issuing_ca, make_root
from keystead.pki.keys import KeyType, generate
from keystead.pki.names import HostNames, TrustDomain
from keystead.pki.profiles import parse_profiles
from keystead.pki.revocation import Revocation, build_crl, crl_to_pem
from keystead.pki.serials import make_serial, serial_hex

PROFILES = parse_profiles((files("keystead.pki") / "profiles.toml").read_text(), "profiles.toml")


def new_serial() -> int:
    return make_serial(secrets.token_bytes(20))


@dataclass
class ThrowawayCa:
    """Root and issuing CA of one environment, and all that it ever signed."""

    environment: str = "dev"
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(minutes=10))
    issued: list[x509.Certificate] = field(default_factory=list)
    revoked: list[Revocation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.trust_domain = TrustDomain.of(self.environment, "example.internal")
        self.root = self._root()
        self.issuing = self._issuing()
        self._numbers = count(int(self.made_at.timestamp()))

    @property
    def ca_pem(self) -> bytes:
        return to_pem(self.root.certificate)

    @property
    def fingerprint(self) -> str:
        return str(Fingerprint.of_certificate(self.root.certificate))

    def sign(
        self,
        csr_pem: bytes,
        *,
        profile: str | None = None,
        lifetime: str = "30d",
        now: datetime | None = None,
    ) -> x509.Certificate:
        """What `ca sign` would give for a CSR; a renewal proof is looked up among the issued ones."""
        now = now or datetime.now(UTC)
        request = csr.parse(csr_pem, "CSR")
        renewed = self._renewed(request)
        wishes = Wishes(profile=profile, lifetime=parse_lifetime(lifetime))
        record = self._recorded(renewed) if renewed else None
        identity = policy.resolve(request.common_name, wishes, record, self.trust_domain)
        facts = Facts(
            trust_domain=self.trust_domain,
            live=LiveKey(record.serial, record.key_fingerprint, record.not_after) if record else None,
            renewed=record,
            renewed_der=renewed.public_bytes(Encoding.DER) if renewed else None,
        )
        kind = replace(PROFILES[identity.profile], post_quantum=True)
        decision = policy.check(request, identity, wishes, kind, facts, now)
        assert isinstance(decision, ApprovedRequest)
        made = issue(decision, Template.of(kind, self.issuing), serial=new_serial(), now=now)
        certificate = x509.load_der_x509_certificate(made.der)
        self.issued.append(certificate)
        return certificate

    def revoke(self, certificate: x509.Certificate) -> None:
        at = datetime.now(UTC) - timedelta(minutes=1)
        self.revoked.append(Revocation(serial_hex(certificate.serial_number), at, "superseded"))

    def crl_pem(self, *, made_at: datetime | None = None, lifetime: timedelta = timedelta(days=90)) -> bytes:
        """Fresh lists of both CAs, numbered upwards."""
        return crl_to_pem(
            self._crl(self.issuing, self.revoked, made_at, lifetime),
            self._crl(self.root, (), made_at, timedelta(days=365)),
        )

    def chain_pem(self, leaf: x509.Certificate) -> bytes:
        """NAME.crt."""
        return to_pem(leaf, self.issuing.certificate)

    def bundle(self, leaf: x509.Certificate) -> bytes:
        """NAME.pem."""
        return self.chain_pem(leaf) + self.ca_pem + self.crl_pem()

    def _crl(
        self,
        issuer: Issuer,
        entries: Iterable[Revocation],
        made_at: datetime | None,
        lifetime: timedelta,
    ) -> x509.CertificateRevocationList:
        return build_crl(
            issuer.certificate,
            issuer.key,
            entries,
            number=next(self._numbers),
            now=made_at or self.made_at,
            lifetime=lifetime,
        )

    def _root(self) -> Issuer:
        key = generate(KeyType.P256)
        certificate = make_root("example", self.trust_domain, key, serial=new_serial(), now=self.made_at)
        return Issuer(certificate, key, Authorship(None))

    def _issuing(self) -> Issuer:
        key = generate(KeyType.P256)
        certificate = make_issuing_ca(
            "example",
            self.trust_domain,
            key.public_key(),
            self.root,
            serial=new_serial(),
            now=self.made_at,
        )
        return Issuer(certificate, key, Authorship(None))

    def _renewed(self, request: csr.CertificateRequest) -> x509.Certificate | None:
        if request.proof is None:
            return None
        serial = int(request.proof.serial, 16)
        return next((issued for issued in self.issued if issued.serial_number == serial), None)

    def _recorded(self, certificate: x509.Certificate) -> PriorCertificate:
        serial = serial_hex(certificate.serial_number)
        return PriorCertificate(
            serial=serial,
            identity=identity_of(certificate),
            key_fingerprint=Fingerprint.of_key(certificate.public_key()).hex,
            csr_fingerprint="",
            wishes_digest="",
            host_names=host_names(certificate) or HostNames(),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            revoked=next((entry.reason for entry in self.revoked if entry.serial == serial), None),
        )
