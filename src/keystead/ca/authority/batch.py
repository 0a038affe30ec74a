"""Signing: the one call that every door ends in, for one CSR as for ten thousand.

Submissions go through in groups: examined, decided, then issued with one commit a group. Not here: what
each step does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from keystead.ca.authority.bench import Bench
from keystead.ca.authority.decide import Case, Granted, Verdict, decide
from keystead.ca.authority.issue import issue
from keystead.ca.authority.model import Authority, Outcome, Rejected, Repeated, Submission
from keystead.ca.authority.submit import audit_refusals, bar_leaked
from keystead.ca.inventory.writes import Conflict
from keystead.errors import KeysteadError, Refused, Violation
from keystead.pki.names import Identity

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


def sign(authority: Authority, bench: Bench, submissions: Sequence[Submission]) -> Iterator[list[Outcome]]:
    """Examine, decide, issue and record ``submissions``; the outcomes come in their order, in groups.

    Where a key or an identity stands in them twice, the first wins. Every refusal is in the audit log before
    its outcome is given. Raises what concerns all of them: a clock that went back, a locked database.
    """
    docket = Docket(authority, bench)
    for start in range(0, len(submissions), GROUP):
        group = list(enumerate(submissions[start : start + GROUP], start))
        yield settle(docket, judge(docket, group))


def judge(docket: Docket, numbered: Sequence[tuple[int, Submission]]) -> list[Verdict]:
    """The verdicts on submissions that were not seen before; nothing is signed yet.

    What is written are the private keys among them: those are barred at once, whatever comes of the rest.
    """
    cases: list[Case] = []
    verdicts: dict[int, Verdict] = {}
    all_examined = docket.bench.examine(numbered)
    bar_leaked(docket.authority, all_examined)
    for (number, submission), examined in zip(numbered, all_examined, strict=True):
        if isinstance(examined, KeysteadError):
            verdicts[number] = Rejected(submission.source, examined)
        else:
            cases.append(Case(number, submission, examined))
    for case, verdict in zip(cases, decide(docket.authority, docket.bench, cases), strict=True):
        verdicts[case.number] = _first_wins(docket, verdict)
    return [verdicts[number] for number, _ in numbered]


def settle(docket: Docket, verdicts: Sequence[Verdict]) -> list[Outcome]:
    """Act on verdicts: issue what is granted, audit what is refused. The outcomes stand at their places."""
    granted = [verdict for verdict in verdicts if isinstance(verdict, Granted)]
    issued = iter(_issue(docket, granted))
    outcomes = [next(issued) if isinstance(verdict, Granted) else verdict for verdict in verdicts]
    audit_refusals(
        docket.authority,
        [(outcome.source, outcome.error) for outcome in outcomes if isinstance(outcome, Rejected)],
    )
    return outcomes


def _first_wins(docket: Docket, verdict: Verdict) -> Verdict:
    if not isinstance(verdict, Granted):
        return verdict
    key, identity = verdict.case.examined.key_fingerprint, verdict.request.identity
    if key in docket.keys or identity in docket.identities:
        twice = "its key" if key in docket.keys else str(identity)
        violation = Violation(
            "twice", f"{twice} stands in this batch twice; the first was taken", "leave one of them out"
        )
        return Rejected(verdict.case.submission.source, Refused(f"{identity} is not signed", [violation]))
    docket.keys.add(key)
    docket.identities.add(identity)
    return verdict


def _issue(docket: Docket, granted: Sequence[Granted]) -> list[Outcome]:
    if not granted:
        return []
    try:
        return issue(docket.authority, docket.bench, granted)
    except Conflict:
        # Another writer changed the facts of one: each is decided anew, alone.
        return [_issue_alone(docket, item.case) for item in granted]


def _issue_alone(docket: Docket, case: Case) -> Outcome:
    for _ in range(ATTEMPTS):
        (verdict,) = decide(docket.authority, docket.bench, [case])
        if isinstance(verdict, Rejected | Repeated):
            return verdict
        try:
            (outcome,) = issue(docket.authority, docket.bench, [verdict])
        except Conflict as error:
            lost = error
        else:
            return outcome
    return Rejected(case.submission.source, lost)
