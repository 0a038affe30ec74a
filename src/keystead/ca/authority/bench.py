"""The pure part of signing many: parse, check, sign; in this process, or in workers that hold the key.

A bench keeps the parsed requests by their number, for they cannot cross a process border, and what `check`
granted, which is all that `issue` can sign; what crosses is small and frozen. Not here: facts, claims,
records (`decide`, `issue`, `batch`).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

from keystead.ca.authority.model import Submission
from keystead.ca.authority.submit import Examined, examine, summary
from keystead.errors import KeysteadError, Unavailable
from keystead.pki import issuance, policy
from keystead.pki.csr import CertificateRequest
from keystead.pki.facts import ApprovedRequest, Decision, Facts, Wishes
from keystead.pki.issuance import IssuedCertificate, Issuer
from keystead.pki.names import Identity
from keystead.pki.profiles import Profile

T = TypeVar("T")


@dataclass(frozen=True)
class Check:
    """One request to be judged, by its number: as whom, with which facts."""

    number: int
    identity: Identity
    wishes: Wishes
    facts: Facts


@dataclass(frozen=True)
class Order:
    """One certificate to be signed: the number of a request that `check` has granted, its serial number."""

    number: int
    serial: int


class Bench(Protocol):
    """Where the pure part is done. Each answer stands at its question's place."""

    def examine(self, numbered: Sequence[tuple[int, Submission]]) -> list[Examined | KeysteadError]:
        """Parse submissions, and keep each request under its number."""
        ...

    def check(self, checks: Sequence[Check], now: datetime) -> list[Decision | KeysteadError]:
        """Judge requests that were examined."""
        ...

    def issue(self, orders: Sequence[Order], now: datetime) -> list[IssuedCertificate]:
        """Sign certificates for requests that were granted."""
        ...


class LocalBench:
    """The pure part in this process; ``issuer`` is called for when something is to be signed."""

    def __init__(self, profiles: Mapping[str, Profile], issuer: Callable[[], Issuer]) -> None:
        self._profiles = profiles
        self._issuer = issuer
        self._requests: dict[int, CertificateRequest] = {}
        self._granted: dict[int, ApprovedRequest] = {}

    def examine(self, numbered: Sequence[tuple[int, Submission]]) -> list[Examined | KeysteadError]:
        """Parse submissions, and keep each request under its number."""
        return [self._examine(number, submission) for number, submission in numbered]

    def check(self, checks: Sequence[Check], now: datetime) -> list[Decision | KeysteadError]:
        """Judge requests that were examined."""
        return [self._check(check, now) for check in checks]

    def issue(self, orders: Sequence[Order], now: datetime) -> list[IssuedCertificate]:
        """Sign certificates; only now is the key asked for."""
        issuer, profiles = self._issuer(), self._profiles
        return [
            issuance.issue(request, profiles[request.profile], issuer, serial=order.serial, now=now)
            for order in orders
            for request in (self._granted[order.number],)
        ]

    def _examine(self, number: int, submission: Submission) -> Examined | KeysteadError:
        try:
            request = examine(submission.data, submission.source)
        except KeysteadError as error:
            return error
        self._requests[number] = request
        return summary(request)

    def _check(self, check: Check, now: datetime) -> Decision | KeysteadError:
        request, profile = self._requests[check.number], self._profiles[check.identity.profile]
        try:
            decision = policy.check(request, check.identity, check.wishes, profile, check.facts, now)
        except KeysteadError as error:
            return error
        if isinstance(decision, ApprovedRequest):
            self._granted[check.number] = decision
        return decision


class ForkedBench:
    """The pure part in worker processes; the request of number n lives in worker n modulo their count."""

    def __init__(self, pipes: Sequence[Connection]) -> None:
        self._pipes = pipes

    def examine(self, numbered: Sequence[tuple[int, Submission]]) -> list[Examined | KeysteadError]:
        """Parse submissions, and keep each request under its number."""
        return self._spread("examine", numbered, [number for number, _ in numbered])

    def check(self, checks: Sequence[Check], now: datetime) -> list[Decision | KeysteadError]:
        """Judge requests that were examined."""
        return self._spread("check", checks, [check.number for check in checks], now)

    def issue(self, orders: Sequence[Order], now: datetime) -> list[IssuedCertificate]:
        """Sign certificates for requests that were granted."""
        return self._spread("issue", orders, [order.number for order in orders], now)

    def _spread(self, verb: str, items: Sequence[Any], numbers: Sequence[int], *rest: Any) -> list[Any]:
        shares: dict[int, list[int]] = {}
        for place, number in enumerate(numbers):
            shares.setdefault(number % len(self._pipes), []).append(place)
        try:
            for worker, places in shares.items():
                self._pipes[worker].send((verb, [items[place] for place in places], rest))
            answers: list[Any] = [None] * len(items)
            for worker, places in shares.items():
                for place, answer in zip(places, self._pipes[worker].recv(), strict=True):
                    answers[place] = answer
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise Unavailable(
                "a worker process died", why="it was killed, or memory ran out", mend="run the command again"
            ) from None
        return answers


@contextmanager
def forked_bench(profiles: Mapping[str, Profile], issuer: Issuer, workers: int) -> Iterator[ForkedBench]:
    """A bench of ``workers`` processes that inherit ``issuer``; they end with the body.

    Fork it before a database or a thread is opened: neither survives a fork.
    """
    context = multiprocessing.get_context("fork")
    pipes: list[Connection] = []
    processes = []
    for _ in range(workers):
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, profiles, issuer, [*pipes, ours]), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        yield ForkedBench(pipes)
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join()


def _work(
    pipe: Connection, profiles: Mapping[str, Profile], issuer: Issuer, inherited: Sequence[Connection]
) -> None:
    # Ctrl-C is the parent's to answer; a worker ends when its pipe does, so it must hold no copy of the ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for other in inherited:
        other.close()
    bench = LocalBench(profiles, lambda: issuer)
    try:
        while True:
            verb, items, rest = pipe.recv()
            pipe.send(getattr(bench, verb)(items, *rest))
    except (EOFError, BrokenPipeError):
        os._exit(0)
