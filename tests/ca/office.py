"""A CA machine in a temporary folder: two environments of one home, and a clock that the test moves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest
from cryptography import x509

from keystead.ca.authority.batch import sign
from keystead.ca.authority.bench import LocalBench
from keystead.ca.authority.model import Authority, Charter, Outcome, Rejected, Repeated, Signed, Submission
from keystead.ca.authority.publish import PublishedCrl, publish
from keystead.ca.authority.revoke import Revoked, find, revoke
from keystead.ca.configuration import Configuration, shipped_profiles
from keystead.ca.founding import found
from keystead.ca.home import Home, open_authority, open_both, open_issuer, read_charter
from keystead.ca.inventory.rows import Recorded
from keystead.errors import KeysteadError
from keystead.machine.secrets import IDENTITY_CREDENTIAL, Secrets
from keystead.pki.facts import Wishes
from keystead.pki.keys import KeyType
from keystead.pki.names import TrustDomain
from tests.pki.makers import NOW

DEV, STAGING = "dev", "staging"


def configuration(environment: str = DEV, **changes: Any) -> Configuration:
    plain = {
        "organization": "Example",
        "trust_domain": TrustDomain(f"{environment}.example.internal"),
        "key_type": KeyType.P256,
        "public_url": None,
        "profiles": shipped_profiles(),
    }
    return Configuration(**{**plain, **changes})


def identity_secrets(folder: Path) -> Secrets:
    """What a service is given: an age identity in its credentials folder."""
    folder.mkdir(exist_ok=True)
    path = folder / IDENTITY_CREDENTIAL
    if not path.exists():
        path.touch(0o600)
        path.write_text(str(pyrage.x25519.Identity.generate()))
    return Secrets({"CREDENTIALS_DIRECTORY": str(folder)})


@dataclass
class Office:
    """The CA of ``dev`` in a home that has ``staging`` too; it is ``now`` until the test says otherwise."""

    folder: Path
    now: datetime = NOW
    profiles: dict[str, Any] = field(default_factory=shipped_profiles)

    @property
    def home(self) -> Home:
        return Home(self.folder / "home")

    @property
    def secrets(self) -> Secrets:
        return identity_secrets(self.folder / "credentials")

    def charter(self, environment: str = DEV) -> Charter:
        return read_charter(self.home, environment)

    def later(self, **span: float) -> None:
        """Move the clock, forwards or back."""
        self.now += timedelta(**span)

    @contextmanager
    def authority(self, environment: str = DEV) -> Iterator[Authority]:
        with open_authority(
            self.home, self.charter(environment), actor="test", clock=lambda: self.now
        ) as opened:
            yield opened

    def outcomes(self, *data: bytes, environment: str = DEV, **wishes: Any) -> list[Outcome]:
        """Sign CSRs in one batch; their sources are 0.csr, 1.csr …"""
        charter = self.charter(environment)
        bench = LocalBench(charter.configuration.profiles, lambda: open_issuer(charter, self.secrets))
        submissions = [
            Submission(f"{number}.csr", each, Wishes(**wishes)) for number, each in enumerate(data)
        ]
        with self.authority(environment) as authority:
            return [outcome for group in sign(authority, bench, submissions) for outcome in group]

    def signed(self, data: bytes, **how: Any) -> Signed:
        (outcome,) = self.outcomes(data, **how)
        assert isinstance(outcome, Signed), outcome
        return outcome

    def repeated(self, data: bytes, **how: Any) -> Repeated:
        (outcome,) = self.outcomes(data, **how)
        assert isinstance(outcome, Repeated), outcome
        return outcome

    def refused(self, data: bytes, **how: Any) -> KeysteadError:
        (outcome,) = self.outcomes(data, **how)
        assert isinstance(outcome, Rejected), outcome
        return outcome.error

    def revoke(self, word: str, reason: str = "superseded", environment: str = DEV) -> Revoked:
        with self.authority(environment) as authority:
            return revoke(authority, find(authority, word), reason)

    def publish(self, environment: str = DEV, *, root: bool = False) -> tuple[PublishedCrl, ...]:
        charter = self.charter(environment)
        issuers = open_both(charter, self.secrets) if root else (open_issuer(charter, self.secrets),)
        with self.authority(environment) as authority:
            return publish(authority, issuers)

    def known(self, word: str, environment: str = DEV) -> tuple[Recorded, ...]:
        with self.authority(environment) as authority:
            return find(authority, word)

    def bytes_of_home(self) -> bytes:
        """All that lies in the home, databases with their logs included."""
        return b"".join(path.read_bytes() for path in sorted(self.home.path.rglob("*")) if path.is_file())


def certificate(answer: Signed | Repeated) -> x509.Certificate:
    return x509.load_der_x509_certificate(answer.certificate.der)


@pytest.fixture(scope="session")
def founded_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home as two `ca init` leave it; tests get copies."""
    folder = tmp_path_factory.mktemp("founded")
    home = Home(folder / "home")
    found(home, configuration(DEV), None, actor="founder", clock=lambda: NOW)
    found(
        home,
        configuration(STAGING),
        identity_secrets(folder / "credentials"),
        actor="founder",
        clock=lambda: NOW,
    )
    return folder


@pytest.fixture
def office(founded_home: Path, tmp_path: Path) -> Office:
    shutil.copytree(founded_home, tmp_path / "office")
    return Office(tmp_path / "office")
