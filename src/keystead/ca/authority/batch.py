"""Signing: the one call that every door ends in, for one CSR as for ten thousand.

Submissions go through in groups: examined, decided, then issued with one commit a group. Not here: what
each step does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from keystead.ca.authority.bench import Bench
from keystead.ca.authority.decide import Case, Granted, Verdict, decide
from keystead.ca.authority.issue import issue
from keystead.ca.authority.model import Arrival, Authority, Outcome, Rejected, Repeated, Submission
from keystead.ca.authority.submit import Examined, audit_refusals, bar_leaked
from keystead.ca.inventory.writes import Conflict
from keystead.errors import KeysteadError, Refused, Violation
from keystead.machine.forks import Promise
from keystead.pki.names import Identity

T = TypeVar("T")

GROUP = 1_000
"""Certificates in one commit: a commit costs a disk's sync, and a group holds the writer's lock."""

ATTEMPTS = 5
"""How often a case is decided again when another writer was quicker."""


@dataclass(frozen=True, slots=True)
class Docket:
    """One run of signing: its bench, and the keys and identities that the run has granted already."""

    authority: Authority
    bench: Bench
    keys: set[str] = field(default_factory=set)
    identities: set[Identity] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Examination:
    """Submissions under their numbers, and what comes of parsing them; what could not be read has neither."""

    arrived: Sequence[tuple[int, Arrival]]
    parsed: Promise[list[Examined | KeysteadError]]


def sign(authority: Authority, bench: Bench, arrivals: Iterable[Arrival]) -> Iterator[list[Outcome]]:
    """Examine, decide, issue and record ``arrivals``; the outcomes come in their order, in groups.

    Where a key or an identity stands in them twice, the first wins. Every refusal is in the audit log before
    its outcome is given. Raises what concerns all of them: a clock that went back, a locked database.

    While one group is recorded, the next is signed, the one after it checked, and one more examined: so
    neither the bench nor the database waits for the other.
    """
    docket = Docket(authority, bench)
    examined = _ahead(examine(docket, group) for group in _groups(arrivals))
    judged = _ahead(judge(docket, examination) for examination in examined)
    settled = _ahead(settle(docket, verdicts()) for verdicts in judged)
    for outcomes in settled:
        yield outcomes()


def _groups(arrivals: Iterable[Arrival]) -> Iterator[list[tuple[int, Arrival]]]:
    numbered = enumerate(arrivals)
    while group := list(islice(numbered, GROUP)):
        yield group


def _ahead(steps: Iterator[T]) -> Iterator[T]:
    """``steps``, each given once the next one is begun."""
    begun = list(islice(steps, 1))
    for following in steps:
        begun.append(following)
        yield begun.pop(0)
    yield from begun


def examine(docket: Docket, arrived: Sequence[tuple[int, Arrival]]) -> Examination:
    """Begin to parse what arrived."""
    data = [(number, each.source, each.data) for number, each in arrived if isinstance(each, Submission)]
    return Examination(arrived, docket.bench.examine(data))


def judge(docket: Docket, examination: Examination) -> Promise[list[Verdict]]:
    """Begin to decide on what was examined; nothing is signed yet.

    What is written are the private keys among it: those are barred at once, whatever comes of the rest.
    """
    cases: list[Case] = []
    verdicts: dict[int, Verdict] = {}
    parsed = examination.parsed()
    bar_leaked(docket.authority, parsed)
    answers = iter(parsed)
    for number, arrival in examination.arrived:
        if isinstance(arrival, Rejected):
            verdicts[number] = arrival
        elif isinstance(found := next(answers), KeysteadError):
            verdicts[number] = Rejected(arrival.source, found)
        else:
            cases.append(Case(number, arrival, found))
    begun = decide(docket.authority, docket.bench, cases)

    def decided() -> list[Verdict]:
        for case, verdict in zip(cases, begun(), strict=True):
            verdicts[case.number] = _first_wins(docket, verdict)
        return [verdicts[number] for number, _ in examination.arrived]

    return decided


def settle(docket: Docket, verdicts: Sequence[Verdict]) -> Promise[list[Outcome]]:
    """Begin to act on verdicts: issue what is granted, audit what is refused; each outcome at its place."""
    begun = _issue(docket, [verdict for verdict in verdicts if isinstance(verdict, Granted)])

    def outcomes() -> list[Outcome]:
        issued = iter(begun())
        settled = [next(issued) if isinstance(verdict, Granted) else verdict for verdict in verdicts]
        audit_refusals(
            docket.authority,
            [(outcome.source, outcome.error) for outcome in settled if isinstance(outcome, Rejected)],
        )
        return settled

    return outcomes


def _first_wins(docket: Docket, verdict: Verdict) -> Verdict:
    if not isinstance(verdict, Granted):
        return verdict
    key, identity = verdict.case.examined.key_fingerprint, verdict.identity
    if key in docket.keys or identity in docket.identities:
        twice = "its key" if key in docket.keys else str(identity)
        violation = Violation(
            "twice", f"{twice} stands in this batch twice; the first was taken", "leave one of them out"
        )
        return Rejected(verdict.case.submission.source, Refused(f"{identity} is not signed", [violation]))
    docket.keys.add(key)
    docket.identities.add(identity)
    return verdict


def _issue(docket: Docket, granted: Sequence[Granted]) -> Promise[list[Outcome]]:
    if not granted:
        return list
    begun = issue(docket.authority, docket.bench, granted)

    def issued() -> list[Outcome]:
        try:
            return begun()
        except Conflict:
            # Another writer changed the facts of one: each is decided anew, alone.
            return [_issue_alone(docket, item.case) for item in granted]
        finally:
            docket.bench.forget(item.case.number for item in granted)

    return issued


def _issue_alone(docket: Docket, case: Case) -> Outcome:
    for _ in range(ATTEMPTS):
        (verdict,) = decide(docket.authority, docket.bench, [case])()
        if isinstance(verdict, Rejected | Repeated):
            return verdict
        try:
            (outcome,) = issue(docket.authority, docket.bench, [verdict])()
        except Conflict as error:
            lost = error
        else:
            return outcome
    return Rejected(case.submission.source, lost)
