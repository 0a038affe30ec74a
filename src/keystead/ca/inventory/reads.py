"""What the authority asks by key: facts for many CSRs at once, one certificate, what a CRL lists.

Not here: pages of a list (`listing`). Each function takes a transaction of `Inventory.reading` or
`Inventory.writing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, select, union_all

from keystead.ca.inventory.bulk import among
from keystead.ca.inventory.rows import (
    Answer,
    Certificate,
    Crl,
    IdentityKey,
    Live,
    Question,
    Recorded,
)
from keystead.ca.inventory.schema import (
    carried_revocations,
    certificates,
    crls,
    identities,
    renewals,
    revocations,
)
from keystead.pki.revocation import Revocation

AnyRow = Row[*tuple[Any, ...]]
AnySelect = Select[*tuple[Any, ...]]

_PIECE = 10_000

_COLUMNS = [column for column in certificates.c if column is not certificates.c.seq]

RECORDED = select(*_COLUMNS, revocations.c.revoked_at, revocations.c.reason).outerjoin_from(
    certificates, revocations, certificates.c.serial == revocations.c.serial
)
"""The rows that `recorded_of` reads."""


def answers(tx: Connection, questions: Sequence[Question]) -> tuple[Answer, ...]:
    """What is known about each of ``questions``, in their order; a handful of statements for thousands."""
    live = live_rows(tx, {(q.profile, q.name) for q in questions})
    of_key: dict[str, Recorded] = {}
    recorded: dict[str, Recorded] = {}
    for found in _of_keys(tx, {q.key_fingerprint for q in questions}):
        # One after the other: the newest stays. A CSR holds its key, so the key's have the CSR's among them.
        of_key[found.certificate.key_fingerprint] = found
        recorded[found.certificate.csr_fingerprint or ""] = found
    old = {q.renews for q in questions if q.renews is not None}
    renewed = {r.certificate.serial: r for r in certificates_by_serial(tx, old)}
    return tuple(
        Answer(
            live=live.get((q.profile, q.name)),
            of_key=of_key.get(q.key_fingerprint),
            recorded=recorded.get(q.csr_fingerprint),
            renewed=renewed.get(q.renews or ""),
        )
        for q in questions
    )


def live_rows(tx: Connection, keys: Iterable[IdentityKey]) -> dict[IdentityKey, Live]:
    """The rows of those identities that have one, locked to the end of a writing transaction."""
    wanted = frozenset(keys)
    # Of every profile every name: a few rows too many. By pairs SQLite would read the whole table.
    profiles, names = {profile for profile, _ in wanted}, {name for _, name in wanted}
    either = among(identities.c.profile, profiles) & among(identities.c.name, names)
    found = (Live(*row) for row in tx.execute(_locking(select(identities).where(either))))
    return {live.identity: live for live in found if live.identity in wanted}


def live_rows_by_key(tx: Connection, fingerprints: Iterable[str]) -> dict[str, Live]:
    """The identity that each of these keys is live for, where there is one; locked likewise."""
    condition = among(identities.c.key_fingerprint, fingerprints)
    rows = tx.execute(_locking(select(identities).where(condition)))
    return {row.key_fingerprint: Live(*row) for row in rows}


def renewal_keys(tx: Connection, serials: Iterable[str]) -> dict[str, str]:
    """Of those serials that were renewed: the key that did it."""
    wanted = list(serials)
    if not wanted:  # as nearly always
        return {}
    rows = tx.execute(_locking(select(renewals).where(among(renewals.c.old_serial, wanted))))
    return {row.old_serial: row.key_fingerprint for row in rows}


def _locking(statement: AnySelect) -> AnySelect:
    return statement.with_for_update()  # SQLite leaves it out: its one writer has locked everything


def certificate(tx: Connection, serial: str) -> Recorded | None:
    """The certificate with this serial."""
    found = certificates_by_serial(tx, (serial,))
    return found[0] if found else None


def certificates_by_serial(tx: Connection, serials: Iterable[str]) -> tuple[Recorded, ...]:
    """Those of the certificates that exist, in no order."""
    wanted = list(serials)
    if not wanted:  # as nearly always, where a batch asks what is renewed
        return ()
    return tuple(map(recorded_of, tx.execute(RECORDED.where(among(certificates.c.serial, wanted)))))


def certificates_of_key(tx: Connection, fingerprint: str) -> tuple[Recorded, ...]:
    """All that were ever issued for a key, whatever the identity, oldest first."""
    return _all(tx, certificates.c.key_fingerprint == fingerprint)


def certificates_of_identity(tx: Connection, name: str, profile: str | None = None) -> tuple[Recorded, ...]:
    """All that were ever issued under NAME, of one profile or of every, oldest first."""
    condition = certificates.c.name == name
    return _all(tx, condition if profile is None else condition & (certificates.c.profile == profile))


def certified_keys(tx: Connection) -> Iterator[list[str]]:
    """Every key that was ever certified, once, in pieces."""
    statement = select(certificates.c.key_fingerprint).distinct()
    for part in tx.execute(statement.execution_options(yield_per=_PIECE)).partitions():
        yield [key for (key,) in part]


def descendants(tx: Connection, serials: Iterable[str]) -> tuple[Recorded, ...]:
    """All that were renewed from one of ``serials``, directly or through others; not themselves."""
    start = list(serials)
    line = select(certificates.c.serial).where(certificates.c.renews.in_(start)).cte("line", recursive=True)
    line = line.union(select(certificates.c.serial).where(certificates.c.renews == line.c.serial))
    return _all(tx, certificates.c.serial.in_(select(line.c.serial)))


def _all(tx: Connection, condition: ColumnElement[bool]) -> tuple[Recorded, ...]:
    return tuple(map(recorded_of, tx.execute(RECORDED.where(condition).order_by(certificates.c.seq))))


def revoked_under(tx: Connection, issuer_serial: str) -> tuple[Revocation, ...]:
    """Every revocation under one issuer, by serial: what its CRL lists (RFC 5280, section 5.1.2.6).

    Those that were carried over from a published list are among them, though their certificates are not here.
    """
    recorded = (
        select(revocations)
        .join(certificates, certificates.c.serial == revocations.c.serial)
        .where(certificates.c.issuer_serial == issuer_serial)
    )
    of = carried_revocations.c
    carried = select(of.serial, of.revoked_at, of.reason).where(of.issuer_serial == issuer_serial)
    statement = union_all(recorded, carried).order_by("serial")
    return tuple(Revocation(*row) for row in tx.execute(statement))


def last_crl(tx: Connection, issuer_serial: str) -> Crl | None:
    """The CRL with the highest number that an issuer has published."""
    statement = (
        select(crls).where(crls.c.issuer_serial == issuer_serial).order_by(crls.c.number.desc()).limit(1)
    )
    row = tx.execute(statement).first()
    return None if row is None else Crl(*row)


def recorded_of(row: AnyRow) -> Recorded:
    """A row of `RECORDED` as a value."""
    *columns, revoked_at, reason = row
    certificate = Certificate(*columns)
    if revoked_at is None:
        return Recorded(certificate, None)
    return Recorded(certificate, Revocation(certificate.serial, revoked_at, reason))


def _of_keys(tx: Connection, fingerprints: Iterable[str]) -> Iterator[Recorded]:
    condition = among(certificates.c.key_fingerprint, fingerprints)
    return map(recorded_of, tx.execute(RECORDED.where(condition).order_by(certificates.c.seq)))
