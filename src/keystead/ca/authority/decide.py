"""Deciding: who asks, what the inventory knows of them, and what policy says to it.

Reads only. Not here: the rules (`pki.policy`), and acting on a decision (`issue`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from keystead.ca.audit.log import check_clock
from keystead.ca.authority.bench import Bench, Check
from keystead.ca.authority.model import Authority, Rejected, Repeated, Submission
from keystead.ca.authority.submit import Examined
from keystead.ca.claims import COMPROMISED
from keystead.ca.inventory import reads, rows
from keystead.errors import KeysteadError, Refused, Violation
from keystead.pki import policy
from keystead.pki.facts import ApprovedRequest, Facts, LiveKey, Recorded, Repetition
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
    request: ApprovedRequest
    expects: str | None


Verdict = Granted | Repeated | Rejected


def decide(authority: Authority, bench: Bench, cases: Sequence[Case]) -> list[Verdict]:
    """The verdict on each of ``cases``, in their order, by the facts of one moment."""
    now = authority.clock()
    with authority.inventory.reading() as tx:
        check_clock(tx, now)
        renewed = _renewed(tx, cases)
        verdicts: dict[int, Verdict] = {}
        asked: list[tuple[Case, Identity]] = []
        for case in cases:
            try:
                identity = _resolve(case, renewed, authority.trust_domain)
                authority.charter.configuration.profile(identity.profile)
                asked.append((case, identity))
            except KeysteadError as error:
                verdicts[case.number] = Rejected(case.submission.source, error)
        answers = zip(asked, reads.facts(tx, [_question(*pair) for pair in asked]), strict=True)
        known: list[tuple[Case, Identity, rows.Facts]] = []
        for (case, identity), facts in answers:
            if facts.of_key is None or facts.of_key.certificate.kind is rows.Kind.LEAF:
                known.append((case, identity, facts))
            else:
                verdicts[case.number] = Rejected(case.submission.source, _own_key(facts.of_key))
        holders = authority.claims.holders([case.examined.key_fingerprint for case, _, _ in known])
        checks = [
            Check(
                case.number,
                identity,
                case.submission.wishes,
                _facts(facts, holders.get(case.examined.key_fingerprint), authority.trust_domain, now),
            )
            for case, identity, facts in known
        ]
        for (case, _, facts), decision in zip(known, bench.check(checks, now), strict=True):
            match decision:
                case ApprovedRequest():
                    held = facts.live.serial if facts.live and facts.live.holds(now) else None
                    verdicts[case.number] = Granted(case, decision, held)
                case Repetition():
                    assert facts.recorded is not None  # it is what the request repeats
                    verdicts[case.number] = Repeated(
                        case.submission.source, decision.identity, facts.recorded.certificate
                    )
                case KeysteadError():
                    verdicts[case.number] = Rejected(case.submission.source, decision)
    return [verdicts[case.number] for case in cases]


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
        _as_recorded(old, trust_domain),
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


def _facts(known: rows.Facts, holder: str | None, trust_domain: TrustDomain, now: datetime) -> Facts:
    compromised = holder == COMPROMISED
    live = known.live if known.live is not None and known.live.holds(now) else None
    return Facts(
        trust_domain=trust_domain,
        live=LiveKey(live.serial, live.key_fingerprint, live.not_after) if live else None,
        of_key=_as_recorded(known.of_key, trust_domain),
        repeated=_as_recorded(known.recorded, trust_domain),
        renewed=_as_recorded(known.renewed, trust_domain),
        renewed_der=known.renewed.certificate.der if known.renewed else None,
        claimed_by=None if compromised else holder,
        compromised=compromised,
    )


def _as_recorded(found: rows.Recorded | None, trust_domain: TrustDomain) -> Recorded | None:
    if found is None:
        return None
    certificate = found.certificate
    return Recorded(
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
