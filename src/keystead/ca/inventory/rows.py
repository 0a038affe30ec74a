"""The inventory's rows as frozen values, as the authority reads and writes them.

Times are aware `datetime`, to the second; serials and fingerprints are lower-case hex. Not here: the tables
(`schema`) and what a row means for a request (`pki.policy`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from keystead.pki.revocation import Revocation

IdentityKey = tuple[str, str]
"""Profile and NAME: what tells identities apart inside one environment."""


class Kind(StrEnum):
    """What a certificate is for in the hierarchy."""

    ROOT = "root"
    ISSUING = "issuing"
    LEAF = "leaf"


@dataclass(frozen=True, slots=True)
class Certificate:
    """One issued certificate, for ever.

    ``csr_fingerprint`` is the SHA-256 of the CSR's DER and ``wishes`` the digest of what was asked beside
    it (profile, NAME, SANs, lifetime); a CA's own certificate has neither. ``renews`` is the serial of the
    certificate that this one renews.
    """

    serial: str
    kind: Kind
    profile: str
    name: str
    key_fingerprint: str
    csr_fingerprint: str | None
    wishes: str | None
    sans: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    issuer_serial: str
    renews: str | None
    issued_at: datetime
    der: bytes

    @property
    def identity(self) -> IdentityKey:
        """Whom it is for."""
        return self.profile, self.name

    @property
    def live(self) -> Live:
        """The identity's row once this certificate is its newest."""
        return Live(self.profile, self.name, self.key_fingerprint, self.serial, self.not_after)


@dataclass(frozen=True, slots=True)
class Live:
    """An identity's live key, newest serial, and the last notAfter of what it has that is not revoked.

    Where that has passed, the row holds nothing. It may lie beyond the newest certificate's own end: a
    short one, issued beside a long one, must not set the identity free while the long one is good.
    """

    profile: str
    name: str
    key_fingerprint: str
    serial: str
    not_after: datetime

    @property
    def identity(self) -> IdentityKey:
        """Whose row it is."""
        return self.profile, self.name

    def holds(self, now: datetime) -> bool:
        """Whether the identity has a live key at ``now``."""
        return self.not_after > now

    def lasting(self, until: datetime) -> Self:
        """The same, held at least until then."""
        return self if until <= self.not_after else replace(self, not_after=until)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A certificate as it stands in the inventory: with its revocation, if there is one."""

    certificate: Certificate
    revocation: Revocation | None


@dataclass(frozen=True, slots=True)
class Crl:
    """One CRL that was published, by the issuer's serial and the CRL number (RFC 5280, section 5.2.3)."""

    issuer_serial: str
    number: int
    this_update: datetime
    next_update: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be known before one CSR can be judged. ``renews`` is the serial in its renewal proof."""

    profile: str
    name: str
    key_fingerprint: str
    csr_fingerprint: str
    renews: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the inventory knows about one CSR: to its `Question`.

    ``live``: the identity's row, expired or not. ``of_key``: the newest certificate of this key, whatever
    became of it. ``recorded``: the newest one given for the same CSR. ``renewed``: the one that the proof
    names.
    """

    live: Live | None = None
    of_key: Recorded | None = None
    recorded: Recorded | None = None
    renewed: Recorded | None = None


@dataclass(frozen=True, slots=True)
class Issue:
    """A certificate to record.

    ``expects`` is the identity's newest serial as the request was checked; None where it held nothing.
    """

    certificate: Certificate
    expects: str | None = None
