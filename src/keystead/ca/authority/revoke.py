"""Revoking: which certificates a word means, and their end, recorded at once.

The list that tells the world follows (`publish`), when the signing key is at hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection

from keystead.ca.audit.log import append, recorded_at
from keystead.ca.authority.model import Authority, Books
from keystead.ca.inventory import reads, writes
from keystead.ca.inventory.rows import Kind, Recorded
from keystead.errors import BadInput, NotThere, Refused, Violation, WrongUsage
from keystead.pki.certificates import common_name
from keystead.pki.names import check_name, check_profile
from keystead.pki.origins import owner
from keystead.pki.revocation import KEY_COMPROMISE, Revocation
from keystead.pki.serials import parse_serial, serial_hex


@dataclass(frozen=True, slots=True)
class Revoked:
    """What a revocation did: the certificates it ended, those revoked before, the keys it barred."""

    ended: tuple[Recorded, ...]
    before: tuple[Recorded, ...]
    barred: frozenset[str]


def find(books: Books, word: str) -> tuple[Recorded, ...]:
    """The certificates that ``word`` means: a serial number, ``profile/NAME``, or a NAME of one profile.

    Of a NAME all certificates come, oldest first. Raises `NotThere` for what was never issued, `WrongUsage`
    where two profiles have the NAME.
    """
    with books.inventory.reading() as tx:
        if "/" not in word and (found := _by_serial(tx, word)) is not None:
            return (found,)
        profile, _, name = word.rpartition("/")
        if profile:
            check_profile(profile)
        certificates = reads.certificates_of_identity(tx, check_name(name), profile or None)
    if not certificates:
        raise NotThere(
            f"the environment {books.environment!r} has issued nothing to {word!r}",
            mend=f"see what there is: keystead ca list --env {books.environment}",
            code="unknown-certificate",
        )
    profiles = sorted({found.certificate.profile for found in certificates})
    if len(profiles) > 1:
        raise WrongUsage(
            f"{name!r} is the name of {len(profiles)} identities",
            mend=f"say which: {' or '.join(f'{each}/{name}' for each in profiles)}",
        )
    return certificates


def _by_serial(tx: Connection, word: str) -> Recorded | None:
    try:
        return reads.certificate(tx, parse_serial(word))
    except BadInput:
        return None


def by_certificate(authority: Authority, certificate: x509.Certificate) -> Recorded:
    """The record of this very certificate; raises `NotThere` where this CA never issued it.

    Its serial number is not enough: anybody can write a certificate with the serial number of another.
    """
    with authority.inventory.reading() as tx:
        found = reads.certificate(tx, serial_hex(certificate.serial_number))
    if found is None or found.certificate.der != certificate.public_bytes(Encoding.DER):
        raise NotThere(
            f"the environment {authority.environment!r} never issued this certificate of"
            f" {common_name(certificate)!r} ({serial_hex(certificate.serial_number)})",
            why=f"it is that of {owner(certificate)}, from another environment or another CA",
            mend="name the right one: --env ENV",
            code="unknown-certificate",
        )
    return found


def revoke(authority: Authority, targets: Sequence[Recorded], reason: str) -> Revoked:
    """End ``targets`` for ``reason`` (RFC 5280, section 5.3.1), and record it durably.

    keyCompromise ends everything of their keys, whatever the identity, and everything that was renewed from
    it, and bars all of these keys for ever in every environment: who has a key may have made its successors.
    It is recorded whatever the clock says.
    """
    _refuse_ca_certificates(targets)
    lost: frozenset[str] = frozenset()
    if reason == KEY_COMPROMISE:
        # Before anything else: a key that is known to be lost must not be certified meanwhile.
        lost = _keys(targets)
        authority.claims.mark_compromised(lost)
    with authority.inventory.writing() as tx:
        now = recorded_at(tx, authority.clock())
        concerned = _all_of(tx, targets, lost)
        barred = _keys(concerned) if lost else lost
        authority.claims.mark_compromised(barred - lost)
        changed = writes.revoke(
            tx, [Revocation(found.certificate.serial, now, reason) for found in concerned]
        )
        ending = [found for found in concerned if found.certificate.serial in changed]
        append(
            tx,
            [
                authority.entry(
                    "certificate.revoke", now, "ok", serial=found.certificate.serial, detail=reason
                )
                for found in ending
            ],
        )
    return Revoked(
        ended=tuple(ending),
        before=tuple(found for found in concerned if found.certificate.serial not in changed),
        barred=barred,
    )


def _keys(records: Iterable[Recorded]) -> frozenset[str]:
    return frozenset(record.certificate.key_fingerprint for record in records)


def _all_of(tx: Connection, targets: Iterable[Recorded], compromised: frozenset[str]) -> tuple[Recorded, ...]:
    serials = {target.certificate.serial for target in targets}
    for key in compromised:
        serials |= {found.certificate.serial for found in reads.certificates_of_key(tx, key)}
    if compromised:
        serials |= {found.certificate.serial for found in reads.descendants(tx, serials)}
    found = reads.certificates_by_serial(tx, serials)
    return tuple(sorted(found, key=lambda item: (item.certificate.issued_at, item.certificate.serial)))


def _refuse_ca_certificates(targets: Iterable[Recorded]) -> None:
    for target in targets:
        if target.certificate.kind is not Kind.LEAF:
            raise Refused(
                f"the {target.certificate.kind} CA's own certificate is not revoked by this command",
                [
                    Violation(
                        "ca-certificate",
                        "everything under it would end with it",
                        "make a new environment, or revoke single certificates",
                    )
                ],
            )
