"""What the authority's verbs work on and give back, as frozen values.

Not here: opening an environment (`ca.home`) and its keys (`custody`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from keystead.ca.audit.entry import Entry
from keystead.ca.claims import Claims
from keystead.ca.configuration import Configuration
from keystead.ca.inventory.rows import Certificate
from keystead.ca.inventory.store import Inventory
from keystead.ca.layout import LISTS
from keystead.errors import KeysteadError
from keystead.machine.clock import Clock
from keystead.pki.facts import Wishes
from keystead.pki.issuance import Authorship
from keystead.pki.names import Identity, TrustDomain
from keystead.pki.serials import ENTROPY_OCTETS, make_serial, serial_hex

MAX_DETAIL = 2_000
"""Characters of a refusal that the audit log keeps."""


@dataclass(frozen=True, slots=True)
class Charter:
    """What an environment's CA is, as its files say: no database is open for it, and no key."""

    configuration: Configuration
    folder: Path
    root: x509.Certificate
    issuing: x509.Certificate

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.configuration.environment

    @property
    def trust_domain(self) -> TrustDomain:
        """What all of its certificates say."""
        return self.configuration.trust_domain

    @property
    def authorship(self) -> Authorship:
        """What its certificates say of CRLs and CA certificates."""
        return Authorship(self.configuration.public_url)

    @property
    def issuing_serial(self) -> str:
        """The issuing CA's serial number, as the inventory holds it."""
        return serial_hex(self.issuing.serial_number)

    @property
    def crl_path(self) -> Path:
        """Where the CRLs lie: the issuing CA's and the root's, in one file."""
        return self.folder / LISTS


@dataclass(frozen=True, slots=True)
class Books:
    """One environment's CA and what it has recorded, open: enough to look things up."""

    charter: Charter
    inventory: Inventory

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.charter.environment


@dataclass(frozen=True, slots=True)
class Authority(Books):
    """One environment's CA, open, without its keys. ``actor`` is who works with it: the audit log's "who"."""

    claims: Claims
    clock: Clock
    entropy: Callable[[int], bytes]
    actor: str

    @property
    def trust_domain(self) -> TrustDomain:
        """What all of its certificates say."""
        return self.charter.trust_domain

    def new_serial(self) -> int:
        """A serial number that was never used."""
        return make_serial(self.entropy(ENTROPY_OCTETS))

    def entry(
        self, what: str, when: datetime, result: str, *, serial: str = "", request: str = "", detail: str = ""
    ) -> Entry:
        """An entry for the audit log, by this actor."""
        return Entry(
            who=self.actor,
            what=what,
            when=when,
            result=result,
            serial=serial,
            request=request,
            detail=detail[:MAX_DETAIL],
        )


@dataclass(frozen=True)
class Submission:
    """A CSR as it arrived: where from, its bytes, and what is wished beside it."""

    source: str
    data: bytes
    wishes: Wishes


@dataclass(frozen=True, slots=True)
class Signed:
    """A submission that got a new certificate; ``left_out`` and ``capped`` are what the operator is told.

    ``replaced`` are the serial numbers that were revoked for it, which a CRL has to tell now.
    """

    source: str
    identity: Identity
    certificate: Certificate
    left_out: tuple[str, ...]
    capped: bool
    replaced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Repeated:
    """A submission that got the certificate recorded for it before."""

    source: str
    identity: Identity
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Rejected:
    """A submission that got none, and why."""

    source: str
    error: KeysteadError


Outcome = Signed | Repeated | Rejected

Arrival = Submission | Rejected
"""What came in: a CSR, or what could not even be read."""
