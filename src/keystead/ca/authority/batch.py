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
class Run:
    """One run of signing: its bench, and the keys and identities that it has granted so far."""

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

    Where a key or an identity stands in them twice, the first wins, however far the second stands behind it.
    Every refusal is in the audit log before its outcome is given. Raises what concerns all of them: a clock
    that went back, a locked database.

    While one group is recorded, the next is signed, the one after it checked, and one more examined: so
    neither the bench nor the database waits for the other.
    """
    run = Run(authority, bench)
    examined = _ahead(examine(run, group) for group in _groups(arrivals))
    judged = _ahead(judge(run, examination) for examination in examined)
    settled = _ahead(settle(run, verdicts()) for verdicts in judged)
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


def examine(run: Run, arrived: Sequence[tuple[int, Arrival]]) -> Examination:
    """Begin to parse what arrived."""
    data = [(number, each.source, each.data) for number, each in arrived if isinstance(each, Submission)]
    return Examination(arrived, run.bench.examine(data))


def judge(run: Run, examination: Examination) -> Promise[list[Verdict]]:
    """Begin to decide on what was examined; nothing is signed yet.

    What is written are the private keys among it: those are barred at once, whatever comes of the rest.
    """
    cases: list[Case] = []
    verdicts: dict[int, Verdict] = {}
    parsed = examination.parsed()
    bar_leaked(run.authority, parsed)
    answers = iter(parsed)
    for number, arrival in examination.arrived:
        if isinstance(arrival, Rejected):
            verdicts[number] = arrival
        elif isinstance(found := next(answers), KeysteadError):
            verdicts[number] = Rejected(arrival.source, found)
        else:
            cases.append(Case(number, arrival, found))
    begun = decide(run.authority, run.bench, cases)

    def decided() -> list[Verdict]:
        for case, verdict in zip(cases, begun(), strict=True):
            verdicts[case.number] = _first_wins(run, verdict, case.examined.key_fingerprint)
        return [verdicts[number] for number, _ in examination.arrived]

    return decided


def settle(run: Run, verdicts: Sequence[Verdict]) -> Promise[list[Outcome]]:
    """Begin to act on verdicts: issue what is granted, audit what is refused; each outcome at its place."""
    begun = _issue(run, [verdict for verdict in verdicts if isinstance(verdict, Granted)])

    def outcomes() -> list[Outcome]:
        issued = iter(begun())
        settled = [next(issued) if isinstance(verdict, Granted) else verdict for verdict in verdicts]
        audit_refusals(
            run.authority,
            [(outcome.source, outcome.error) for outcome in settled if isinstance(outcome, Rejected)],
        )
        return settled

    return outcomes


def _first_wins(run: Run, verdict: Verdict, key: str) -> Verdict:
    """``verdict`` on a CSR of ``key``, unless the run has granted its key or its identity before.

    A CSR of that key may be a repetition by now, where the first is recorded: of this run, it is one of two.
    """
    if isinstance(verdict, Rejected):
        return verdict
    if key in run.keys:
        return _twice("its key", verdict)
    if isinstance(verdict, Repeated):
        return verdict
    if verdict.identity in run.identities:
        return _twice(str(verdict.identity), verdict)
    run.keys.add(key)
    run.identities.add(verdict.identity)
    return verdict


def _twice(what: str, verdict: Granted | Repeated) -> Rejected:
    source = verdict.case.submission.source if isinstance(verdict, Granted) else verdict.source
    violation = Violation(
        "twice", f"{what} stands in this batch twice; the first was taken", "leave one of them out"
    )
    return Rejected(source, Refused(f"{verdict.identity} is not signed", [violation]))


def _issue(run: Run, granted: Sequence[Granted]) -> Promise[list[Outcome]]:
    if not granted:
        return list
    begun = issue(run.authority, run.bench, granted)

    def issued() -> list[Outcome]:
        try:
            return begun()
        except Conflict:
            # Another writer changed the facts of one: each is decided anew, alone.
            return [_issue_alone(run, item.case) for item in granted]
        finally:
            run.bench.forget(item.case.number for item in granted)

    return issued


def _issue_alone(run: Run, case: Case) -> Outcome:
    for _ in range(ATTEMPTS):
        (verdict,) = decide(run.authority, run.bench, [case])()
        if isinstance(verdict, Rejected | Repeated):
            return verdict
        try:
            (outcome,) = issue(run.authority, run.bench, [verdict])()
        except Conflict as error:
            lost = error
        else:
            return outcome
    return Rejected(case.submission.source, lost)
