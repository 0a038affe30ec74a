"""The innocent client: asks as others do while somebody attacks, and measures how long each answer takes.

It runs in a process of its own, so that what is measured is the server's delay and not the attacker's.
"""

from __future__ import annotations

import ssl
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.tls.rawclient import RawClient
from tests.tls.throwaway import Pair, client_context
from tests.web.apps import get

PAUSE = 0.01
"""Seconds between two visits: a client that is in no hurry."""

KEPT = 4
"""Requests over the kept-alive connection for each new connection."""


@dataclass
class Experience:
    """What an innocent client saw: milliseconds of each answer, and whatever went wrong."""

    fresh: list[float] = field(default_factory=list)
    """By a new connection: handshake, request, answer."""

    kept: list[float] = field(default_factory=list)
    """Over a connection that stays open."""

    failures: list[str] = field(default_factory=list)

    def row(self) -> tuple[float, float, float, float]:
        """Median and worst of both."""
        return (
            statistics.median(self.fresh),
            max(self.fresh),
            statistics.median(self.kept),
            max(self.kept),
        )


@dataclass(frozen=True)
class Caller:
    """Who calls, with the files of its folder, and where."""

    port: int
    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)

    @classmethod
    def of(cls, port: int, folder: Path, name: str) -> Caller:
        return cls(port, (folder / f"{name}.crt").read_bytes(), (folder / f"{name}.key").read_bytes())

    @property
    def context(self) -> ssl.SSLContext:
        return client_context(self.certificate, self.key)

    @property
    def pair(self) -> Pair:
        """The same as the hand-made records want it."""
        leaf, *above = x509.load_pem_x509_certificates(self.certificate)
        key = load_pem_private_key(self.key, None)
        assert isinstance(key, EllipticCurvePrivateKey)
        return Pair(leaf, key, tuple(above))


def live(caller: Caller, seconds: float) -> Experience:
    """Visit the server for ``seconds``, and tell."""
    seen, context = Experience(), caller.context
    end = time.monotonic() + seconds
    kept = _connect(caller, context)
    try:
        while time.monotonic() < end or not seen.fresh:
            _timed(seen.fresh, seen.failures, lambda: _visit(caller, context))
            for _ in range(KEPT):
                _timed(seen.kept, seen.failures, lambda: _ask(kept))
            time.sleep(PAUSE)  # its own pace
    finally:
        kept.socket.close()
    return seen


def _connect(caller: Caller, context: ssl.SSLContext) -> RawClient:
    return RawClient(caller.port, context, timeout=30).handshake()


def _visit(caller: Caller, context: ssl.SSLContext) -> None:
    with _connect(caller, context) as client:
        _ask(client)


def _ask(client: RawClient) -> None:
    answer = get(client, "/whoami")
    if answer.status != 200:
        raise ConnectionError(f"{answer.status} {answer.body!r}")


def _timed(times: list[float], failures: list[str], step: object) -> None:
    assert callable(step)
    begun = time.monotonic()
    try:
        step()
    except (OSError, EOFError) as error:
        failures.append(repr(error))
    times.append((time.monotonic() - begun) * 1000)
