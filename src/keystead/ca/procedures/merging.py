"""What a restored environment takes up: revocations since its backup, its claims on keys, the barred ones.

Not here: verifying what it takes (`published`, `soundness`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography import x509
from sqlalchemy import Connection, select

from keystead.ca.audit.entry import RESTORED
from keystead.ca.audit.log import append, recorded_at
from keystead.ca.authority.model import Authority
from keystead.ca.claims import COMPROMISED
from keystead.ca.inventory import reads, writes
from keystead.ca.inventory.schema import certificates, revocations
from keystead.ca.procedures.manifest import BARRED, Manifest, damaged
from keystead.ca.procedures.packing import Contents
from keystead.ca.procedures.published import Crl, revocations_on
from keystead.errors import Refused, Violation
from keystead.pki.revocation import KEY_COMPROMISE, Revocation
from keystead.pki.serials import serial_hex

_BARRED = re.compile(r"(?:[0-9a-f]{64}\n)*")


@dataclass(frozen=True, slots=True)
class Merged:
    """The serials that the published lists tell of, and the backup did not.

    ``recorded`` are those of its own certificates, ``carried`` those of certificates that it does not have,
    for they were issued after it.
    """

    recorded: tuple[str, ...]
    carried: tuple[str, ...]


def refuse_conflicts(authority: Authority) -> None:
    """Raise `Refused`, naming each identity, where other environments of this machine hold keys of it."""
    own = authority.environment
    conflicts: list[Violation] = []
    with authority.inventory.reading() as tx:
        for keys in reads.certified_keys(tx):
            held = authority.claims.holders(keys)
            foreign = {key: holder for key, holder in held.items() if holder not in (own, COMPROMISED)}
            conflicts += [_conflict(name, foreign[key]) for name, key in _identities(tx, foreign)]
    if conflicts:
        raise Refused(
            f"{own!r} is not restored: other environments of this machine hold {len(conflicts)} of its keys",
            conflicts,
        )


def _identities(tx: Connection, keys: Iterable[str]) -> list[tuple[str, str]]:
    """Whom each of ``keys`` was certified for, as profile/NAME, with the key."""
    columns = (certificates.c.profile, certificates.c.name, certificates.c.key_fingerprint)
    statement = select(*columns).where(certificates.c.key_fingerprint.in_(list(keys))).distinct()
    return [(f"{profile}/{name}", key) for profile, name, key in tx.execute(statement)]


def _conflict(identity: str, holder: str) -> Violation:
    return Violation(
        "key-of-another-environment",
        f"the key of {identity} belongs to {holder!r}",
        "restore into a home of its own: --home DIR",
    )


def merge(authority: Authority, manifest: Manifest, lists: Sequence[Crl], *, told: str) -> Merged:
    """Record what ``lists`` tell of, and that the environment was restored; ``told`` is how, for the log.

    A revocation of a certificate that the backup does not have is recorded as it stands on the list.
    """
    with authority.inventory.writing() as tx:
        now = recorded_at(tx, authority.clock())
        both = [_merge_of(tx, lists, ca) for ca in (authority.charter.issuing, authority.charter.root)]
        recorded = [end for ends, _ in both for end in ends]
        carried = [end for _, ends in both for end in ends]
        entries = [authority.entry(RESTORED, now, "ok", request=manifest.backup, detail=told)]
        entries += [
            authority.entry(
                "certificate.revoke", now, "ok", serial=end.serial, detail=f"{end.reason}, as published"
            )
            for end in (*recorded, *carried)
        ]
        append(tx, entries)
    return Merged(tuple(end.serial for end in recorded), tuple(end.serial for end in carried))


def _merge_of(
    tx: Connection, lists: Iterable[Crl], issuer: x509.Certificate
) -> tuple[list[Revocation], list[Revocation]]:
    serial = serial_hex(issuer.serial_number)
    published = revocations_on(lists, issuer)
    have = {found.certificate.serial for found in reads.certificates_by_serial(tx, _serials(published))}
    known = set(_serials(reads.revoked_under(tx, serial)))
    changed = writes.revoke(tx, [end for end in published if end.serial in have])
    carried = [end for end in published if end.serial not in have | known]
    writes.carry(tx, serial, carried)
    return [end for end in published if end.serial in changed], carried


def _serials(ends: Iterable[Revocation]) -> list[str]:
    return [end.serial for end in ends]


def barred_in(contents: Contents, source: str) -> tuple[str, ...]:
    """The keys that were barred on the machine of the archive ``source``, whichever environment's."""
    text = contents.files[BARRED].decode(errors="replace")
    if not _BARRED.fullmatch(text):
        raise damaged(source, f"{BARRED} in it is no list of keys")
    return tuple(text.split())


def claim_keys(authority: Authority, barred: Iterable[str]) -> int:
    """Claim every key of the environment, and bar those that are ``barred`` or were revoked as compromised.

    How many are barred by it, known here before or not.
    """
    with authority.inventory.reading() as tx:
        for keys in reads.certified_keys(tx):
            authority.claims.claim(keys, authority.environment)
        lost = compromised_in(tx) | set(barred)
    authority.claims.mark_compromised(lost)
    return len(lost)


def compromised_in(tx: Connection) -> set[str]:
    """The keys of the certificates that were revoked for keyCompromise."""
    statement = (
        select(certificates.c.key_fingerprint)
        .join(revocations, revocations.c.serial == certificates.c.serial)
        .where(revocations.c.reason == KEY_COMPROMISE)
    )
    return set(tx.scalars(statement))
