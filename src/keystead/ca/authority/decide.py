"""Deciding: who asks, what the inventory knows of them, and what policy says to it.

Reads only. Not here: the rules (`pki.policy`), and acting on a decision (`issue`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from keystead.ca.audit.log import check_clock
from keystead.ca.authority.bench import Bench, Decided, ToCheck
from keystead.ca.authority.model import Authority, Rejected, Repeated, Submission
from keystead.ca.authority.submit import Examined
from keystead.ca.claims import COMPROMISED
from keystead.ca.inventory import reads, rows
from keystead.errors import KeysteadError, Refused, Violation
from keystead.machine.forks import Promise
from keystead.pki import policy
from keystead.pki.facts import Facts, Grant, LiveKey, PriorCertificate, Repetition
from keystead.pki.names import HostNames, Identity, TrustDomain


@dataclass(frozen=True, slots=True)
class Case:
    """A submission under its number, examined."""

    number: int
    submission: Submission
    examined: Examined


@dataclass(frozen=True, slots=True)
class Granted:
    """A case that policy grants; ``expects`` is the serial that its identity held: recorded only then."""

    case: Case
    identity: Identity
    grant: Grant
    expects: str | None


Verdict = Granted | Repeated | Rejected


@dataclass(frozen=True, slots=True)
class _Known:
    """A case with what the inventory says of it."""

    case: Case
    identity: Identity
    answer: rows.Answer
    holder: str | None


def decide(authority: Authority, bench: Bench, cases: Sequence[Case]) -> Promise[list[Verdict]]:
    """The verdict on each of ``cases``, in their order, by the facts of one moment, which is now."""
    now = authority.clock()
    verdicts: dict[int, Verdict] = {}
    known = list(_look_up(authority, cases, now, verdicts))
    nothing = Facts(authority.trust_domain)
    checks = [
        ToCheck(
            each.case.number,
            each.identity,
            each.case.submission.wishes,
            _facts(each, authority.trust_domain, now) if each.holder or each.answer != _UNKNOWN else nothing,
        )
        for each in known
    ]
    begun = bench.check(checks, now)

    def decided() -> list[Verdict]:
        for each, decision in zip(known, begun(), strict=True):
            verdicts[each.case.number] = _verdict(each, decision, now)
        return [verdicts[case.number] for case in cases]

    return decided


_UNKNOWN = rows.Answer()


def _look_up(
    authority: Authority, cases: Sequence[Case], now: datetime, rejected: dict[int, Verdict]
) -> Iterator[_Known]:
    """The facts of each case, but for those that need none: these are rejected."""
    with authority.inventory.reading() as tx:
        check_clock(tx, now)
        renewed = _renewed(tx, cases)
        asked: list[tuple[Case, Identity]] = []
        for case in cases:
            try:
                identity = _resolve(case, renewed, authority.trust_domain)
                authority.charter.configuration.profile(identity.profile)
                asked.append((case, identity))
            except KeysteadError as error:
                rejected[case.number] = Rejected(case.submission.source, error)
        answers = reads.answers(tx, [_question(*pair) for pair in asked])
    holders = authority.claims.holders([case.examined.key_fingerprint for case, _ in asked])
    for (case, identity), answer in zip(asked, answers, strict=True):
        if answer.of_key is None or answer.of_key.certificate.kind is rows.Kind.LEAF:
            yield _Known(case, identity, answer, holders.get(case.examined.key_fingerprint))
        else:
            rejected[case.number] = Rejected(case.submission.source, _own_key(answer.of_key))


def _verdict(known: _Known, decision: Decided, now: datetime) -> Verdict:
    source, live = known.case.submission.source, known.answer.live
    match decision:
        case Grant():
            held = live.serial if live is not None and live.holds(now) else None
            return Granted(known.case, known.identity, decision, held)
        case Repetition():
            assert known.answer.recorded is not None  # it is what the request repeats
            return Repeated(source, decision.identity, known.answer.recorded.certificate)
        case KeysteadError():
            return Rejected(source, decision)


def _own_key(ca: rows.Recorded) -> Refused:
    what = f"its key is that of this CA's own {ca.certificate.kind} certificate"
    mend = "make a key of its own on the subscriber's machine: keystead csr NAME"
    return Refused("a CA's key is certified for nobody else", [Violation("key-in-use", what, mend)])


def _renewed(tx: Connection, cases: Sequence[Case]) -> Mapping[str, rows.Recorded]:
    serials = {case.examined.renews for case in cases if case.examined.renews is not None}
    return {found.certificate.serial: found for found in reads.certificates_by_serial(tx, serials)}


def _resolve(case: Case, renewed: Mapping[str, rows.Recorded], trust_domain: TrustDomain) -> Identity:
    old = renewed.get(case.examined.renews or "")
    return policy.resolve(
        case.examined.common_name,
        case.submission.wishes,
        _as_prior(old, trust_domain),
        trust_domain,
    )


def _question(case: Case, identity: Identity) -> rows.Question:
    return rows.Question(
        profile=identity.profile,
        name=identity.name,
        key_fingerprint=case.examined.key_fingerprint,
        csr_fingerprint=case.examined.csr_fingerprint,
        renews=case.examined.renews,
    )


def _facts(of: _Known, trust_domain: TrustDomain, now: datetime) -> Facts:
    known, compromised = of.answer, of.holder == COMPROMISED
    live = known.live if known.live is not None and known.live.holds(now) else None
    return Facts(
        trust_domain=trust_domain,
        live=LiveKey(live.serial, live.key_fingerprint, live.not_after) if live else None,
        of_key=_as_prior(known.of_key, trust_domain),
        repeated=_as_prior(known.recorded, trust_domain),
        renewed=_as_prior(known.renewed, trust_domain),
        renewed_der=known.renewed.certificate.der if known.renewed else None,
        claimed_by=None if compromised else of.holder,
        compromised=compromised,
    )


def _as_prior(found: rows.Recorded | None, trust_domain: TrustDomain) -> PriorCertificate | None:
    if found is None:
        return None
    certificate = found.certificate
    return PriorCertificate(
        serial=certificate.serial,
        identity=Identity(trust_domain, certificate.profile, certificate.name),
        key_fingerprint=certificate.key_fingerprint,
        csr_fingerprint=certificate.csr_fingerprint or "",
        wishes_digest=certificate.wishes or "",
        host_names=HostNames.of(certificate.sans),
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        revoked=found.revocation.reason if found.revocation else None,
    )
