"""What the authority writes, each in a transaction of `Inventory.writing`: certificates, revocations, CRLs.

A request was checked against facts that were read before; `record` looks at them again under the lock and
raises `Conflict` where they have changed. Not here: what is allowed (`pki.policy`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, insert, update
from sqlalchemy.exc import IntegrityError

from keystead.ca.inventory.bulk import insert_rows
from keystead.ca.inventory.reads import (
    certificates_by_serial,
    certificates_of_identity,
    certificates_of_key,
    live_rows,
    live_rows_by_key,
    renewal_keys,
)
from keystead.ca.inventory.rows import (
    Certificate,
    Crl,
    IdentityKey,
    Issue,
    Kind,
    Live,
)
from keystead.ca.inventory.schema import (
    carried_revocations,
    certificates,
    crls,
    identities,
    renewals,
    revocations,
)
from keystead.errors import Unavailable
from keystead.pki.revocation import KEY_COMPROMISE, Revocation


class Conflict(Unavailable):
    """Another writer was quicker: the facts of these ``serials`` are no longer what was checked.

    The transaction must end with it, so that nothing of it stays; then read the facts and decide again.
    """

    code = "conflict"

    def __init__(self, serials: Iterable[str]) -> None:
        self.serials = frozenset(serials)
        super().__init__(
            "the inventory has changed since the request was checked",
            why="another keystead command issued or revoked something of the same identity or key",
            mend="run the command again",
        )


def record(tx: Connection, issues: Sequence[Issue]) -> None:
    """Record certificates, move their identities to them, and note which ones they renew.

    Raises `Conflict`, with the serials of those concerned, where an identity does not hold what the issue
    expects; where the key is live for another identity; where the certificate to be renewed was revoked, or
    renewed by another key; and where two of ``issues`` are in each other's way. Of a CA's own certificates
    nothing but the certificate is written.

    To replace a certificate, record the new one first and `revoke` the old one after it.
    """
    leaves = [issue for issue in issues if issue.certificate.kind is Kind.LEAF]
    held = live_rows_by_key(tx, (issue.certificate.key_fingerprint for issue in leaves))
    before = live_rows(tx, (issue.certificate.identity for issue in leaves))
    in_the_way = _find_conflicts(tx, leaves, dict(before), dict(held))
    if in_the_way:
        raise Conflict(in_the_way)
    now_live = {
        new.identity: new.live.lasting(before[new.identity].not_after) if new.identity in before else new.live
        for new in (issue.certificate for issue in leaves)
    }
    try:
        insert_rows(tx, certificates, (_CERTIFICATE(issue.certificate) for issue in issues), skip=1)
        # What held one of these keys without being in the way has expired.
        _delete_live(tx, {row.identity for row in (*before.values(), *held.values())})
        insert_rows(tx, identities, map(_LIVE, now_live.values()))
        _note_renewals(tx, [issue.certificate for issue in leaves])
    except IntegrityError as error:
        raise Conflict(issue.certificate.serial for issue in issues) from error


def _find_conflicts(
    tx: Connection, leaves: Sequence[Issue], live: dict[IdentityKey, Live], held: dict[str, Live]
) -> set[str]:
    asked = [issue.certificate for issue in leaves]
    old = {certificate.renews for certificate in asked if certificate.renews is not None}
    renewed_by = renewal_keys(tx, old)
    revoked = {r.certificate.serial for r in certificates_by_serial(tx, old) if r.revocation is not None}
    in_the_way: set[str] = set()
    for issue in leaves:
        new = issue.certificate
        holder = held.get(new.key_fingerprint)
        if (
            _held_serial(live.get(new.identity), new.issued_at) != issue.expects
            or (holder is not None and holder.identity != new.identity and holder.holds(new.issued_at))
            or new.renews in revoked
            or renewed_by.get(new.renews or "", new.key_fingerprint) != new.key_fingerprint
        ):
            in_the_way.add(new.serial)
            continue
        # What this one is going to write is what the next one has to live with.
        live[new.identity] = held[new.key_fingerprint] = new.live
        if new.renews is not None:
            renewed_by[new.renews] = new.key_fingerprint
    return in_the_way


def _held_serial(row: Live | None, now: datetime) -> str | None:
    return row.serial if row is not None and row.holds(now) else None


def _note_renewals(tx: Connection, new: Sequence[Certificate]) -> None:
    renewing = {c.renews: c.key_fingerprint for c in new if c.renews is not None}
    known = renewal_keys(tx, renewing)
    fresh = [{"old_serial": old, "key_fingerprint": key} for old, key in renewing.items() if old not in known]
    _insert(tx, renewals, fresh)


def revoke(tx: Connection, ended: Sequence[Revocation]) -> frozenset[str]:
    """Record revocations; the serials for which that changed anything are given back.

    A revocation stands as it was first recorded, but for its reason, which keyCompromise replaces. An
    identity whose newest certificate ends here falls back to an older valid one of the same key; without
    one it holds nothing. One whose older certificates end here is held as long as what is left.
    """
    known = {
        r.certificate.serial: r.revocation.reason
        for r in certificates_by_serial(tx, (end.serial for end in ended))
        if r.revocation is not None
    }
    fresh = list({end.serial: end for end in ended if end.serial not in known}.values())
    worse = [
        end
        for end in ended
        if end.reason == KEY_COMPROMISE and known.get(end.serial, end.reason) != end.reason
    ]
    _insert(tx, revocations, [_columns(end) for end in fresh])
    if worse:
        tx.execute(_WORSEN, [{"of": end.serial} for end in worse])
    _fall_back(tx, fresh)
    _shorten(tx, fresh)
    return frozenset(end.serial for end in (*fresh, *worse))


_WORSEN = update(revocations).where(revocations.c.serial == bindparam("of")).values(reason=KEY_COMPROMISE)


def _fall_back(tx: Connection, ended: Sequence[Revocation]) -> None:
    moments = {end.serial: end.revoked_at for end in ended}
    newest = live_rows(tx, {r.certificate.identity for r in certificates_by_serial(tx, moments)})
    rows = [row for row in newest.values() if row.serial in moments]
    _delete_live(tx, {row.identity for row in rows})
    older = [
        r.certificate.live
        for row in rows
        for r in certificates_of_key(tx, row.key_fingerprint)[::-1]
        if r.revocation is None
        and r.certificate.identity == row.identity
        and r.certificate.not_after > moments[row.serial]
    ]
    fallback = {row.identity: row for row in reversed(older)}
    _insert(tx, identities, [_columns(row) for row in fallback.values()])


def _shorten(tx: Connection, ended: Sequence[Revocation]) -> None:
    concerned = {r.certificate.identity for r in certificates_by_serial(tx, [end.serial for end in ended])}
    for identity, row in live_rows(tx, concerned).items():
        good = [r for r in certificates_of_identity(tx, row.name, row.profile) if r.revocation is None]
        until = max((r.certificate.not_after for r in good), default=row.not_after)
        if until != row.not_after:
            _delete_live(tx, {identity})
            _insert(tx, identities, [_columns(replace(row, not_after=until))])


def carry(tx: Connection, issuer_serial: str, ended: Sequence[Revocation]) -> None:
    """Record revocations of certificates of this issuer that are not in the inventory, none of them twice.

    A published list told of them: a restored inventory is older than it, and must not undo them.
    """
    _insert(tx, carried_revocations, [{"issuer_serial": issuer_serial} | _columns(end) for end in ended])


def add_crl(tx: Connection, crl: Crl) -> None:
    """Record that a CRL was made; `Conflict`, with its issuer's serial, where the number is taken."""
    try:
        _insert(tx, crls, [_columns(crl)])
    except IntegrityError as error:
        raise Conflict([crl.issuer_serial]) from error


_DELETE_LIVE = delete(identities).where(
    identities.c.profile == bindparam("of_profile"), identities.c.name == bindparam("of_name")
)


def _delete_live(tx: Connection, keys: Iterable[tuple[str, str]]) -> None:
    rows = [{"of_profile": profile, "of_name": name} for profile, name in keys]
    if rows:
        tx.execute(_DELETE_LIVE, rows)


_CERTIFICATE = attrgetter(*(field.name for field in fields(Certificate)))
_LIVE = attrgetter(*(field.name for field in fields(Live)))


def _insert(tx: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        tx.execute(insert(table), rows)


def _columns(row: Certificate | Live | Revocation | Crl) -> dict[str, Any]:
    return {field.name: getattr(row, field.name) for field in fields(row)}
