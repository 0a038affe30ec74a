"""The pure part of signing many: parse, check, sign; in this process, or in workers that hold the key.

A desk keeps the parsed requests by their number, for they cannot cross a process border, and what `check`
granted, which is all that `issue` can sign; what crosses is small and frozen. Not here: facts, claims,
records (`decide`, `issue`, `batch`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from keystead.ca.authority.submit import Examined, examine, summary
from keystead.errors import KeysteadError
from keystead.machine.forks import Fork, Promise, forked
from keystead.pki import issuance, policy
from keystead.pki.csr import CertificateRequest
from keystead.pki.facts import ApprovedRequest, Facts, Grant, Repetition, Wishes
from keystead.pki.issuance import IssuedCertificate, Issuer, Template
from keystead.pki.names import Identity
from keystead.pki.profiles import Profile

Decided = Grant | Repetition | KeysteadError


@dataclass(frozen=True)
class ToCheck:
    """One request to be judged, by its number: as whom, with which facts."""

    number: int
    identity: Identity
    wishes: Wishes
    facts: Facts


@dataclass(frozen=True)
class ToIssue:
    """One certificate to be signed: the number of a request that `check` has granted, its serial number."""

    number: int
    serial: int


class Bench(Protocol):
    """Where the pure part is done, begun by each call. Each answer stands at its question's place."""

    def examine(self, numbered: Sequence[tuple[int, str, bytes]]) -> Promise[list[Examined | KeysteadError]]:
        """Parse CSRs, each with its number and source, and keep the requests under the numbers."""
        ...

    def check(self, checks: Sequence[ToCheck], now: datetime) -> Promise[list[Decided]]:
        """Judge requests that were examined."""
        ...

    def issue(self, orders: Sequence[ToIssue], now: datetime) -> Promise[list[IssuedCertificate]]:
        """Sign certificates for requests that were granted."""
        ...

    def forget(self, numbers: Iterable[int]) -> None:
        """Let go of requests that were answered."""
        ...


class Desk:
    """One place of work; ``issuer`` is called for when something is to be signed."""

    def __init__(self, profiles: Mapping[str, Profile], issuer: Callable[[], Issuer]) -> None:
        self._profiles = profiles
        self._issuer = issuer
        self._requests: dict[int, CertificateRequest] = {}
        self._granted: dict[int, ApprovedRequest] = {}

    def examine(self, numbered: Iterable[tuple[int, str, bytes]]) -> list[Examined | KeysteadError]:
        """See `Bench.examine`."""
        return [self._examine(*each) for each in numbered]

    def check(self, checks: Iterable[ToCheck], now: datetime) -> list[Decided]:
        """See `Bench.check`."""
        return [self._check(check, now) for check in checks]

    def issue(self, orders: Iterable[ToIssue], now: datetime) -> list[IssuedCertificate]:
        """See `Bench.issue`; only now is the key asked for."""
        issuer = self._issuer()
        templates = {name: Template.of(profile, issuer) for name, profile in self._profiles.items()}
        return [
            issuance.issue(request, templates[request.identity.profile], serial=order.serial, now=now)
            for order in orders
            for request in (self._granted[order.number],)
        ]

    def forget(self, numbers: Iterable[int]) -> None:
        """See `Bench.forget`."""
        for number in numbers:
            self._requests.pop(number, None)
            self._granted.pop(number, None)

    def _examine(self, number: int, source: str, data: bytes) -> Examined | KeysteadError:
        try:
            request = examine(data, source)
        except KeysteadError as error:
            return error
        self._requests[number] = request
        return summary(request)

    def _check(self, check: ToCheck, now: datetime) -> Decided:
        request, profile = self._requests[check.number], self._profiles[check.identity.profile]
        try:
            decision = policy.check(request, check.identity, check.wishes, profile, check.facts, now)
        except KeysteadError as error:
            self.forget([check.number])
            return error
        if isinstance(decision, Repetition):
            self.forget([check.number])
            return decision
        self._granted[check.number] = decision
        return decision.grant


class LocalBench:
    """A desk in this process: what is begun is done at once."""

    def __init__(self, profiles: Mapping[str, Profile], issuer: Callable[[], Issuer]) -> None:
        self._desk = Desk(profiles, issuer)

    def examine(self, numbered: Sequence[tuple[int, str, bytes]]) -> Promise[list[Examined | KeysteadError]]:
        """See `Bench.examine`."""
        return _kept(self._desk.examine(numbered))

    def check(self, checks: Sequence[ToCheck], now: datetime) -> Promise[list[Decided]]:
        """See `Bench.check`."""
        return _kept(self._desk.check(checks, now))

    def issue(self, orders: Sequence[ToIssue], now: datetime) -> Promise[list[IssuedCertificate]]:
        """See `Bench.issue`."""
        return _kept(self._desk.issue(orders, now))

    def forget(self, numbers: Iterable[int]) -> None:
        """See `Bench.forget`."""
        self._desk.forget(numbers)


def _kept(answers: list[Any]) -> Promise[list[Any]]:
    return lambda: answers


class ForkedBench:
    """Desks in worker processes; the request of number n lies on desk n modulo their count."""

    def __init__(self, desks: Sequence[Fork]) -> None:
        self._desks = desks

    def examine(self, numbered: Sequence[tuple[int, str, bytes]]) -> Promise[list[Examined | KeysteadError]]:
        """See `Bench.examine`."""
        return self._spread("examine", numbered, [number for number, _, _ in numbered])

    def check(self, checks: Sequence[ToCheck], now: datetime) -> Promise[list[Decided]]:
        """See `Bench.check`."""
        return self._spread("check", checks, [check.number for check in checks], now)

    def issue(self, orders: Sequence[ToIssue], now: datetime) -> Promise[list[IssuedCertificate]]:
        """See `Bench.issue`."""
        return self._spread("issue", orders, [order.number for order in orders], now)

    def forget(self, numbers: Iterable[int]) -> None:
        """See `Bench.forget`."""
        numbers = list(numbers)
        for desk in self._desks:
            desk.ask("forget", numbers)

    def _spread(
        self, verb: str, items: Sequence[Any], numbers: Sequence[int], *rest: Any
    ) -> Promise[list[Any]]:
        places: dict[int, list[int]] = {}
        for place, number in enumerate(numbers):
            places.setdefault(number % len(self._desks), []).append(place)
        begun = [
            (share, self._desks[desk].ask(verb, [items[place] for place in share], *rest))
            for desk, share in places.items()
        ]

        def answers() -> list[Any]:
            gathered: list[Any] = [None] * len(items)
            for share, promise in begun:
                for place, answer in zip(share, promise(), strict=True):
                    gathered[place] = answer
            return gathered

        return answers


@contextmanager
def forked_bench(profiles: Mapping[str, Profile], issuer: Issuer, workers: int) -> Iterator[ForkedBench]:
    """A bench of ``workers`` processes that inherit ``issuer``; they end with the body.

    Fork it before a database or a thread is opened: neither survives a fork.
    """
    with forked(*(Desk(profiles, lambda: issuer) for _ in range(workers))) as desks:
        yield ForkedBench(desks)
