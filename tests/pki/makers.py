"""Values for the pure core's tests: each maker gives what is right, and a test changes the one thing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from importlib.resources import files
from itertools import count
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keystead.errors import Refused
from keystead.pki import csr, policy
from keystead.pki.csr import CertificateRequest
from keystead.pki.facts import (
    ApprovedRequest,
    Decision,
    Facts,
    LiveKey,
    PriorCertificate,
    Wishes,
    wishes_digest,
)
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.issuance import (
    Authorship,
    IssuedCertificate,
    Issuer,
    Template,
    issue,
    make_issuing_ca,
    make_root,
)
from keystead.pki.keys import KeyType, PrivateKey, digest_for, generate
from keystead.pki.names import HostNames, Identity, TrustDomain
from keystead.pki.profiles import Profile, parse_profiles
from keystead.pki.renewal import prove
from keystead.pki.revocation import Revocation, build_crl

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DOMAIN = TrustDomain("prod.example.internal")
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
DAY = timedelta(days=1)
PROFILES = parse_profiles((files("keystead.pki") / "profiles.toml").read_text(), "profiles.toml")

_serials = count(0x1000)


@cache
def key(label: str = "alice", key_type: KeyType = KeyType.P256) -> PrivateKey:
    """A private key: the same one for the same label, for RSA keys take their time."""
    return generate(key_type)


def spki_fingerprint(label: str) -> str:
    return Fingerprint.of_key(key(label).public_key()).hex


def csr_pem(
    name: str = "alice",
    *,
    signer: PrivateKey | None = None,
    hosts: Iterable[str] = (),
    purposes: Iterable[x509.ObjectIdentifier] = (CLIENT,),
    proof: Any = None,
) -> bytes:
    made = csr.build(
        signer or key(name),
        common_name=name,
        purposes=list(purposes),
        host_names=HostNames.of(hosts),
        proof=proof,
    )
    return made.public_bytes(Encoding.PEM)


def request(name: str = "alice", **parts: Any) -> CertificateRequest:
    return csr.parse(csr_pem(name, **parts), f"{name}.csr")


def hand_made(
    *extensions: x509.ExtensionType,
    subject: Iterable[tuple[x509.ObjectIdentifier, str]] = ((NameOID.COMMON_NAME, "alice"),),
    signer: PrivateKey | None = None,
) -> bytes:
    """A CSR that `csr.build` would never make, in DER."""
    signer = signer or key()
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(oid, text) for oid, text in subject])
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, digest_for(signer)).public_bytes(Encoding.DER)


def identity(name: str = "alice", profile: str = "client", domain: TrustDomain = DOMAIN) -> Identity:
    return Identity(domain, profile, name)


def recorded(
    who: Identity | None = None,
    *,
    key_label: str = "alice",
    age: timedelta = timedelta(days=1),
    lifetime: timedelta = timedelta(days=30),
    **changes: Any,
) -> PriorCertificate:
    """A certificate of 30 days that was issued yesterday, as the inventory knows it."""
    plain = PriorCertificate(
        serial="5e41a1",
        identity=who or identity(),
        key_fingerprint=spki_fingerprint(key_label),
        csr_fingerprint="another csr",
        wishes_digest="other wishes",
        host_names=HostNames(),
        not_before=NOW - age,
        not_after=NOW - age + lifetime,
    )
    return replace(plain, **changes)


def live(record: PriorCertificate) -> LiveKey:
    return LiveKey(record.serial, record.key_fingerprint, record.not_after)


def facts(**known: Any) -> Facts:
    return Facts(**{"trust_domain": DOMAIN, **known})


def decide(
    asked: CertificateRequest,
    wishes: Wishes | None = None,
    known: Facts | None = None,
    *,
    profile: Profile | None = None,
    now: datetime = NOW,
) -> Decision:
    """What policy says, as `ca sign` asks it."""
    wishes, known = wishes or Wishes(), known or facts()
    who = policy.resolve(asked.common_name, wishes, known.renewed, known.trust_domain)
    return policy.check(asked, who, wishes, profile or PROFILES[who.profile], known, now)


@dataclass
class Ca:
    """Root and issuing CA of one trust domain, in memory."""

    domain: TrustDomain = DOMAIN
    key_type: KeyType = KeyType.P256
    public_url: str | None = None
    made_at: datetime = NOW

    @property
    def authorship(self) -> Authorship:
        return Authorship(self.public_url)

    @cached_property
    def root(self) -> Issuer:
        root_key = key(f"root of {self.domain}", self.key_type)
        certificate = make_root("Example", self.domain, root_key, serial=next(_serials), now=self.made_at)
        return Issuer(certificate, root_key, self.authorship)

    @cached_property
    def issuing(self) -> Issuer:
        issuing_key = key(f"issuing of {self.domain}", self.key_type)
        certificate = make_issuing_ca(
            "Example",
            self.domain,
            issuing_key.public_key(),
            self.root,
            serial=next(_serials),
            now=self.made_at,
        )
        return Issuer(certificate, issuing_key, self.authorship)

    def issued(
        self,
        name: str = "alice",
        profile: str = "client",
        *,
        hosts: Iterable[str] = (),
        lifetime: timedelta | None = None,
        now: datetime | None = None,
        leaf_key: PrivateKey | None = None,
    ) -> IssuedCertificate:
        purposes = PROFILES[profile].purposes
        asked = request(name, hosts=hosts, purposes=purposes, signer=leaf_key)
        now = now or self.made_at
        granted = decide(
            asked,
            Wishes(profile=profile, lifetime=lifetime),
            facts(trust_domain=self.domain),
            now=now,
            profile=replace(PROFILES[profile], post_quantum=True),
        )
        assert isinstance(granted, ApprovedRequest)
        return issue(granted, Template.of(PROFILES[profile], self.issuing), serial=next(_serials), now=now)

    def leaf(self, *args: Any, **kwargs: Any) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.issued(*args, **kwargs).der)

    def crl(
        self,
        issuer: Issuer,
        *revoked: x509.Certificate,
        now: datetime | None = None,
        lifetime: timedelta = timedelta(days=90),
        number: int = 1,
        reason: str = "superseded",
    ) -> x509.CertificateRevocationList:
        now = now or self.made_at
        entries = [Revocation(f"{each.serial_number:x}", now, reason) for each in revoked]
        return build_crl(issuer.certificate, issuer.key, entries, number=number, now=now, lifetime=lifetime)

    def crls(self, *revoked: x509.Certificate, **how: Any) -> list[x509.CertificateRevocationList]:
        return [self.crl(self.issuing, *revoked, **how), self.crl(self.root, **how)]


def renewal(
    old: str = "alice", new: str = "alice-2", *, cn: str = "alice", **changes: Any
) -> CertificateRequest:
    """The CSR of key ``new`` with the proof of key ``old``; ``changes`` go into what the proof says."""
    says: dict[str, Any] = {
        "trust_domain": DOMAIN,
        "serial": recorded().serial,
        "new_key": key(new).public_key(),
        **changes,
    }
    proof = prove(key(old), says["trust_domain"], says["serial"], says["new_key"])
    return request(cn, signer=key(new), proof=proof)


def granted(
    asked: CertificateRequest,
    wishes: Wishes | None = None,
    known: Facts | None = None,
    profile: Profile | None = None,
) -> ApprovedRequest:
    decision = decide(asked, wishes, known, profile=profile)
    assert isinstance(decision, ApprovedRequest)
    return decision


def refusals(
    asked: CertificateRequest,
    wishes: Wishes | None = None,
    known: Facts | None = None,
    profile: Profile | None = None,
) -> list[str]:
    """The codes of all violations."""
    with pytest.raises(Refused) as refused:
        decide(asked, wishes, known, profile=profile)
    assert all(violation.what and violation.mend for violation in refused.value.violations)
    return [violation.code for violation in refused.value.violations]


def mend(asked: CertificateRequest, wishes: Wishes | None = None, known: Facts | None = None) -> str:
    with pytest.raises(Refused) as refused:
        decide(asked, wishes, known)
    return refused.value.mend


def known_repetition(asked: CertificateRequest, **changes: object) -> Facts:
    """The facts after ``asked`` got its certificate, as a client of 30 days, yesterday."""
    record = recorded(
        **{  # type: ignore[arg-type]
            "csr_fingerprint": asked.fingerprint,
            "wishes_digest": wishes_digest(identity(), HostNames(), 30 * DAY),
            "key_fingerprint": asked.key_fingerprint.hex,
            **changes,
        }
    )
    return facts(live=live(record), of_key=record, repeated=record)
