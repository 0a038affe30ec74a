"""What the CA knows and what the operator wishes, as frozen values: the ground that `policy` decides on.

What crosses to worker processes has no slots: pickle is several times slower with them. Not here: reading
them from an inventory, and the rules.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import PublicKey
from keystead.pki.names import HostNames, Identity, TrustDomain


@dataclass(frozen=True)
class Wishes:
    """What whoever asks the CA to sign adds to the CSR; None where they leave it to CSR and profile.

    ``may_reissue`` lets a live key have another certificate with other wishes; ``may_replace`` lets
    another key take a live identity over, its certificate revoked at once. ``expect`` is the key's
    fingerprint as it was read to the operator.
    """

    profile: str | None = None
    name: str | None = None
    host_names: HostNames | None = None
    lifetime: timedelta | None = None
    expect: str | None = None
    may_reissue: bool = False
    may_replace: bool = False


@dataclass(frozen=True)
class PriorCertificate:
    """A certificate of this environment's inventory, as far as a decision about another needs it."""

    serial: str
    identity: Identity
    key_fingerprint: str
    csr_fingerprint: str
    wishes_digest: str
    host_names: HostNames
    not_before: datetime
    not_after: datetime
    revoked: str | None = None

    def is_good(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked is None and now < self.not_after

    def has_a_third_left(self, now: datetime) -> bool:
        """Whether more than a third of its life lies ahead."""
        return (self.not_after - now) * 3 > self.not_after - self.not_before


@dataclass(frozen=True)
class LiveKey:
    """What an identity holds: the live key's fingerprint, the newest certificate's serial and notAfter."""

    serial: str
    key_fingerprint: str
    not_after: datetime


@dataclass(frozen=True)
class Facts:
    """What the inventory and keys.db say of one request, read at one moment.

    ``live``: what the identity holds, if it holds anything. ``of_key``: the newest of
    the CSR's key, live or not. ``repeated``: the newest that this very CSR got. ``renewed``: the one that
    its renewal proof names, ``renewed_der`` that certificate in DER. ``claimed_by``: the environment that
    holds the key. ``compromised``: the key is barred for ever.
    """

    trust_domain: TrustDomain
    live: LiveKey | None = None
    of_key: PriorCertificate | None = None
    repeated: PriorCertificate | None = None
    renewed: PriorCertificate | None = None
    renewed_der: bytes | None = None
    claimed_by: str | None = None
    compromised: bool = False


@dataclass(frozen=True)
class Grant:
    """What policy grants to the identity and the key that it was asked for.

    ``renews`` is the serial number that it follows by a renewal proof; ``replaces`` the newest of those that
    are revoked in the same transaction. ``left_out`` tells the operator what the CSR asked for in vain;
    ``capped`` that the lifetime wished for was more than the profile has.
    """

    host_names: HostNames
    lifetime: timedelta
    wishes_digest: str
    renews: str | None
    replaces: str | None
    left_out: tuple[str, ...]
    capped: bool


@dataclass(frozen=True, slots=True)
class ApprovedRequest:
    """A request that policy grants, with all that the certificate will say but serial number and dates.

    It is what can be signed, and stays where the request was parsed: what is told of it is its `Grant`.
    """

    identity: Identity
    public_key: PublicKey
    key_fingerprint: Fingerprint
    grant: Grant


@dataclass(frozen=True)
class Repetition:
    """The same CSR with the same wishes as before: the recorded certificate is the answer."""

    serial: str
    identity: Identity


Decision = ApprovedRequest | Repetition


def wishes_digest(identity: Identity, host_names: HostNames, lifetime: timedelta) -> str:
    """What "the same wishes" means, as hex: profile, NAME, host names and lifetime."""
    said = [identity.profile, identity.name, host_names.texts, int(lifetime.total_seconds())]
    return sha256(json.dumps(said).encode()).hexdigest()
