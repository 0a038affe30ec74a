"""Whether an inventory from an archive is sound: the database, the audit log, every certificate, every fact.

It is not trusted before: whoever has the public half can seal an archive. Not here: the CA itself
(`charter`).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from sqlalchemy import Connection, text

from keystead.ca.audit import log
from keystead.ca.authority.model import Charter
from keystead.ca.inventory.reads import RECORDED, last_crl, recorded_of, revoked_under
from keystead.ca.inventory.rows import Certificate, Kind, Recorded
from keystead.ca.inventory.schema import metadata
from keystead.ca.inventory.shape import differences
from keystead.ca.inventory.store import open_inventory
from keystead.ca.procedures.manifest import Manifest, damaged
from keystead.errors import BadInput, KeysteadError
from keystead.machine import sqlite
from keystead.pki.certificates import host_names, identity_of
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.names import Identity
from keystead.pki.revocation import REASONS
from keystead.pki.serials import serial_hex

_PIECE = 1000
_SERIAL = re.compile("[1-9a-f][0-9a-f]{0,38}|[1-7][0-9a-f]{39}")
"""At most 159 bits."""

_MOST_LISTS = 1 << 40
"""They are numbered by Unix seconds: this one is due in the year 36812."""

_OWN_TABLES = frozenset(metadata.tables) | {"alembic_version", "sqlite_stat1", "sqlite_stat4"}
_UNREADABLE = (ValueError, TypeError, AttributeError, OverflowError, InvalidSignature)
"""What a column makes of a value that was never written there, and cryptography of such a certificate."""

_ISSUED = """SELECT json_extract(entry, '$.serial') AS serial FROM audit
    WHERE json_extract(entry, '$.what') IN ('certificate.issue', 'ca.init')
    AND json_extract(entry, '$.result') = 'ok' AND json_extract(entry, '$.serial') IS NOT NULL"""
_REVOKED = """SELECT json_extract(entry, '$.serial') AS serial FROM audit
    WHERE json_extract(entry, '$.what') = 'certificate.revoke'
    AND json_extract(entry, '$.result') = 'ok' AND json_extract(entry, '$.serial') IS NOT NULL"""
_ENDED = "SELECT serial FROM revocations UNION ALL SELECT serial FROM carried_revocations"

_RULES = (
    (
        "an identity is held by a certificate that is not its own",
        """FROM identities AS held LEFT JOIN certificates AS own ON own.serial = held.serial
        WHERE own.serial IS NULL OR own.kind <> 'leaf' OR own.profile <> held.profile
        OR own.name <> held.name OR own.key_fingerprint <> held.key_fingerprint
        OR own.not_after > held.not_after""",
    ),
    (
        "an identity is held by a certificate that is revoked",
        "FROM identities WHERE serial IN (SELECT serial FROM revocations)",
    ),
    (
        "a renewal is noted, and no certificate is one",
        """FROM renewals WHERE NOT EXISTS (SELECT 1 FROM certificates AS new
        WHERE new.renews = old_serial AND new.key_fingerprint = renewals.key_fingerprint)""",
    ),
    (
        "a certificate renews another without a note of it",
        "FROM certificates WHERE renews IS NOT NULL AND renews NOT IN (SELECT old_serial FROM renewals)",
    ),
    (
        "a certificate is recorded that the audit log does not tell of",
        f"FROM certificates WHERE serial NOT IN ({_ISSUED})",
    ),
    (
        "the audit log tells of a certificate that is not recorded",
        f"FROM ({_ISSUED}) WHERE serial NOT IN (SELECT serial FROM certificates)",  # noqa: S608 - constants
    ),
    (
        "a revocation is recorded that the audit log does not tell of",
        f"FROM ({_ENDED}) WHERE serial NOT IN ({_REVOKED})",
    ),
    (
        "the audit log tells of a revocation that is not recorded",
        f"FROM ({_REVOKED}) WHERE serial NOT IN ({_ENDED})",
    ),
    (
        "a certificate is both recorded and unknown",
        "FROM carried_revocations WHERE serial IN (SELECT serial FROM certificates)",
    ),
)
"""What must not be, as a sentence, and what finds it."""


def check_inventory(path: Path, charter: Charter, manifest: Manifest, source: str) -> None:
    """Verify the inventory at ``path``, and bring its schema up to this keystead's; time goes by its size.

    Raises `BadInput`, naming the archive ``source`` and what is wrong, `log.Tampered`, or `Unavailable`
    where a newer keystead wrote it.
    """
    _check_database(path, source)
    with _readable(source), open_inventory(path) as inventory, inventory.reading() as tx:
        if strange := differences(tx):
            raise damaged(source, f"its inventory is not made as keystead makes one: {strange[0]}")
        _check_head(tx, manifest, source)
        counted = sum(1 for _ in _checked(tx, charter, source))
        if counted != manifest.certificates:
            raise damaged(source, f"it holds {counted} certificates, not {manifest.certificates}")
        if (ended := _number(tx, f"FROM ({_ENDED})")) != manifest.revocations:
            raise damaged(source, f"it holds {ended} revocations, not {manifest.revocations}")
        for issuer in (charter.root, charter.issuing):
            _check_lists(tx, serial_hex(issuer.serial_number), source)
        for sentence, found_by in _RULES:
            if count := _number(tx, found_by):
                raise damaged(source, f"its inventory contradicts itself: {sentence} ({count} such)")


def _number(tx: Connection, clauses: str) -> int:
    return int(tx.execute(text(f"SELECT count(*) {clauses}")).scalar_one())


@contextmanager
def _readable(source: str) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise damaged(source, f"its inventory cannot be read: {str(error) or type(error).__name__}") from None


def _check_database(path: Path, source: str) -> None:
    """Before anything of it is used: SQLite finds it whole, and nothing is in it that acts by itself."""
    try:
        with sqlite.told(path), closing(sqlite3.connect(path)) as connection:
            sqlite.prepare(connection)
            kinds = connection.execute("SELECT type, tbl_name FROM sqlite_master").fetchall()
            if strange := {f"{kind} of {name}" for kind, name in kinds if not _is_ours(kind, name)}:
                raise damaged(
                    source, f"its inventory holds what is not keystead's: {', '.join(sorted(strange))}"
                )
            whole = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if whole != ("ok",):
                raise damaged(source, f"its inventory is damaged: {whole[0]}")
            if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
                raise damaged(source, "its inventory refers to certificates that are not in it")
    except BadInput as error:
        raise damaged(source, error.why) from None


def _is_ours(kind: str, table: str) -> bool:
    return kind in ("table", "index") and table in _OWN_TABLES


def _check_head(tx: Connection, manifest: Manifest, source: str) -> None:
    found = log.verify(tx)
    if (found.size, found.root.hex(), found.newest) != (
        manifest.audit.entries,
        manifest.audit.root,
        manifest.audit.newest,
    ):
        raise damaged(source, "the audit log in it is not the one that its manifest names")


def _check_lists(tx: Connection, issuer_serial: str, source: str) -> None:
    """What the issuer's next list is made of must be fit for one (RFC 5280, section 5.1.2)."""
    for end in revoked_under(tx, issuer_serial):
        if not _SERIAL.fullmatch(end.serial) or end.reason not in REASONS or end.revoked_at.year < 1950:
            raise damaged(source, f"the revocation of {end.serial!r} in its inventory can stand on no list")
    last = last_crl(tx, issuer_serial)
    if last is not None and not 0 < last.number < _MOST_LISTS:
        raise damaged(source, f"its inventory has a revocation list of the number {last.number}")


def _checked(tx: Connection, charter: Charter, source: str) -> Iterator[Certificate]:
    rows = tx.execute(RECORDED.execution_options(yield_per=_PIECE))
    for row in rows:
        recorded = recorded_of(row)
        try:
            wrong = _difference(recorded, charter)
        except (*_UNREADABLE, KeysteadError) as error:
            wrong = str(error) or type(error).__name__
        if wrong:
            serial = recorded.certificate.serial
            raise damaged(source, f"the certificate {serial} in its inventory is not as recorded: {wrong}")
        yield recorded.certificate


def _difference(recorded: Recorded, charter: Charter) -> str:
    """What of the record its own certificate does not say; "" where all is well."""
    row = recorded.certificate
    certificate = x509.load_der_x509_certificate(row.der)
    if recorded.revocation is not None and recorded.revocation.reason not in REASONS:
        return "it was revoked for no reason that there is"
    facts = (
        ("serial number", serial_hex(certificate.serial_number), row.serial),
        ("key", Fingerprint.of_key(certificate.public_key()).hex, row.key_fingerprint),
        ("beginning", certificate.not_valid_before_utc, row.not_before),
        ("end", certificate.not_valid_after_utc, row.not_after),
    )
    for fact, said, written in facts:
        if said != written:
            return f"its {fact}"
    return _LEVELS[row.kind](row, certificate, charter)


def _root_difference(row: Certificate, certificate: x509.Certificate, charter: Charter) -> str:
    return "" if certificate == charter.root and row.issuer_serial == row.serial else "it is another root"


def _issuing_difference(row: Certificate, certificate: x509.Certificate, charter: Charter) -> str:
    is_ours = certificate == charter.issuing and row.issuer_serial == serial_hex(charter.root.serial_number)
    return "" if is_ours else "it is another issuing CA"


def _leaf_difference(row: Certificate, certificate: x509.Certificate, charter: Charter) -> str:
    if row.issuer_serial != charter.issuing_serial:
        return "its issuer"
    certificate.verify_directly_issued_by(charter.issuing)
    if identity_of(certificate) != Identity(charter.trust_domain, row.profile, row.name):
        return "its identity"
    return "" if set(host_names(certificate).texts) == set(row.sans) else "its host names"


_LEVELS = {Kind.ROOT: _root_difference, Kind.ISSUING: _issuing_difference, Kind.LEAF: _leaf_difference}
