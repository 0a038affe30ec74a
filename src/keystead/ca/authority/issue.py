"""Issuing: claim the keys, sign, record all in one transaction; only then is a certificate given out.

Not here: what may be issued (`decide`), and writing files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from keystead.ca.audit.log import append, check_clock
from keystead.ca.authority.bench import Bench, ToIssue
from keystead.ca.authority.decide import Granted
from keystead.ca.authority.model import Authority, Outcome, Rejected, Signed
from keystead.ca.claims import COMPROMISED
from keystead.ca.inventory import reads, writes
from keystead.ca.inventory.rows import Certificate, Issue, Kind
from keystead.errors import Refused, Violation
from keystead.machine.forks import Promise
from keystead.pki.issuance import IssuedCertificate, check_issuing
from keystead.pki.revocation import Revocation

SUPERSEDED = "superseded"


def issue(authority: Authority, bench: Bench, granted: Sequence[Granted]) -> Promise[list[Outcome]]:
    """Claim the keys of ``granted``, begin to sign; once signed, all are recorded. Outcomes at their places.

    `Unavailable` where the issuing CA has expired. The promise raises `writes.Conflict`, and records nothing,
    where the facts of one have changed since they were read. The keys stay claimed then: their requests were
    approved.
    """
    check_issuing(authority.charter.issuing, authority.clock())
    holders = authority.claims.claim(
        [item.case.examined.key_fingerprint for item in granted], authority.environment
    )
    outcomes: dict[int, Outcome] = {}
    free: list[Granted] = []
    for item in granted:
        holder = holders[item.case.examined.key_fingerprint]
        if holder == authority.environment:
            free.append(item)
        else:
            outcomes[item.case.number] = Rejected(item.case.submission.source, _taken(item, holder))
    now = authority.clock().replace(microsecond=0)
    orders = [ToIssue(item.case.number, authority.new_serial()) for item in free]
    begun = bench.issue(orders, now) if orders else list

    def recorded() -> list[Outcome]:
        issuer_serial = authority.charter.issuing_serial
        certificates = [
            _row(certificate, item, issuer_serial, now)
            for certificate, item in zip(begun(), free, strict=True)
        ]
        replaced = _record(authority, free, certificates, now)
        for item, certificate in zip(free, certificates, strict=True):
            outcomes[item.case.number] = _signed(item, certificate, replaced.get(item.case.number, ()), now)
        return [outcomes[item.case.number] for item in granted]

    return recorded


def _signed(item: Granted, certificate: Certificate, replaced: tuple[str, ...], now: datetime) -> Signed:
    return Signed(
        source=item.case.submission.source,
        identity=item.identity,
        certificate=certificate,
        left_out=item.grant.left_out,
        replaced=replaced,
        capped=item.grant.capped or certificate.not_after < now + item.grant.lifetime,
    )


def _taken(item: Granted, holder: str) -> Refused:
    return Refused(
        f"{item.identity} is not signed",
        [
            Violation(
                "foreign-key",
                f"its key is held by {holder!r} since a moment ago",
                "make a new key: keystead csr NAME",
            )
        ],
    )


def _row(issued: IssuedCertificate, item: Granted, issuer_serial: str, now: datetime) -> Certificate:
    examined, grant = item.case.examined, item.grant
    return Certificate(
        serial=issued.serial,
        kind=Kind.LEAF,
        profile=item.identity.profile,
        name=item.identity.name,
        key_fingerprint=examined.key_fingerprint,
        csr_fingerprint=examined.csr_fingerprint,
        wishes=grant.wishes_digest,
        sans=grant.host_names.texts,
        not_before=issued.not_before,
        not_after=issued.not_after,
        issuer_serial=issuer_serial,
        renews=grant.renews,
        issued_at=now,
        der=issued.der,
    )


def _record(
    authority: Authority, granted: Sequence[Granted], certificates: Sequence[Certificate], now: datetime
) -> Mapping[int, tuple[str, ...]]:
    """Record ``certificates``; what was replaced, by the number of the case that did it."""
    with authority.inventory.writing() as tx:
        check_clock(tx, now)
        _refuse_barred(authority, certificates)
        replaced = {
            item.case.number: _replaced(tx, item, now) for item in granted if item.grant.replaces is not None
        }
        ended = [serial for serials in replaced.values() for serial in serials]
        writes.record(
            tx,
            [
                Issue(certificate, expects=item.expects)
                for item, certificate in zip(granted, certificates, strict=True)
            ],
        )
        writes.revoke(tx, [Revocation(serial, now, SUPERSEDED) for serial in ended])
        append(
            tx,
            [
                *(
                    authority.entry(
                        "certificate.issue",
                        now,
                        "ok",
                        serial=certificate.serial,
                        request=certificate.csr_fingerprint or "",
                        detail=f"{certificate.profile}/{certificate.name}",
                    )
                    for certificate in certificates
                ),
                *(
                    authority.entry("certificate.revoke", now, "ok", serial=serial, detail=SUPERSEDED)
                    for serial in ended
                ),
            ],
        )
    return replaced


def _replaced(tx: Connection, item: Granted, now: datetime) -> tuple[str, ...]:
    """What ends where another key takes an identity over: all of other keys, not the newest alone."""
    found = reads.certificates_of_identity(tx, item.identity.name, item.identity.profile)
    return tuple(
        other.certificate.serial
        for other in found
        if other.revocation is None
        and other.certificate.not_after > now
        and other.certificate.key_fingerprint != item.case.examined.key_fingerprint
    )


def _refuse_barred(authority: Authority, certificates: Sequence[Certificate]) -> None:
    # Under the inventory's lock: who bars a key revokes its certificates after it, under the same lock, and
    # so finds this one, or was there before and is found here.
    holders = authority.claims.holders(certificate.key_fingerprint for certificate in certificates)
    barred = [c.serial for c in certificates if holders.get(c.key_fingerprint) == COMPROMISED]
    if barred:
        raise writes.Conflict(barred)
