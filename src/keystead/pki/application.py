"""What policy decides on: one request, as whom, with which wishes and facts, and what follows from these.

Not here: the rules (`requestrules`, `priorrules`), and the decision (`policy`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from keystead.errors import Violation
from keystead.pki.csr import CertificateRequest
from keystead.pki.facts import Facts, PriorCertificate, Wishes, wishes_digest
from keystead.pki.names import HostNames, Identity
from keystead.pki.profiles import Profile

_NO_HOSTS = HostNames()


@dataclass(frozen=True, slots=True)
class Application:
    """A request with all that bears on the decision about it."""

    request: CertificateRequest
    identity: Identity
    wishes: Wishes
    profile: Profile
    facts: Facts
    now: datetime

    @property
    def renewed(self) -> PriorCertificate | None:
        """The certificate that is renewed, where a proof names it."""
        return self.facts.renewed if self.request.proof is not None else None

    @property
    def asked_host_names(self) -> HostNames:
        """What the operator names, else what the CSR asks for, else what the renewed certificate has."""
        if self.wishes.host_names is not None:
            return self.wishes.host_names
        if self.request.host_names or self.renewed is None:
            return self.request.host_names
        return self.renewed.host_names

    @property
    def host_names(self) -> HostNames:
        """What the certificate would cover."""
        if self.wishes.host_names is None and not self.profile.wants_hosts:
            return _NO_HOSTS
        return self.asked_host_names

    @property
    def lifetime(self) -> timedelta:
        """How long the certificate would be good for."""
        return min(self.wishes.lifetime or self.profile.lifetime, self.profile.max_lifetime)

    @property
    def digest(self) -> str:
        """Of all that would be granted, by which a repetition is known."""
        return wishes_digest(self.identity, self.host_names, self.lifetime)

    @property
    def is_repetition(self) -> bool:
        """Whether this very CSR has a good certificate with just these wishes, with life enough left."""
        repeated = self.facts.repeated
        return (
            repeated is not None
            and not self.wishes.may_reissue
            and repeated.is_good(self.now)
            and repeated.has_a_third_left(self.now)
            and repeated.wishes_digest == self.digest
        )

    @property
    def overrules_proof(self) -> bool:
        """Whether the operator takes the identity over without asking what the proof is worth.

        Where the proof would choose the profile, replacing is not enough: anybody can write a serial number.
        """
        return self.wishes.may_replace and (self.wishes.profile is not None or self.facts.renewed is None)

    @property
    def holds_live_key(self) -> bool:
        """Whether the CSR's key is the identity's live one."""
        live = self.facts.live
        return live is not None and live.key_fingerprint == self.request.key_fingerprint.hex


Rule = Callable[[Application], Iterator[Violation]]
"""One demand: its violations, none where it is met."""
