"""An inventory that contradicts itself is not restored, whoever sealed it: each fact is broken once."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from keystead.ca.audit.log import append
from keystead.ca.inventory.writes import carry
from keystead.errors import KeysteadError
from keystead.pki.revocation import Revocation
from tests.ca.authority.test_signing import renewal_of
from tests.ca.office import DEV
from tests.ca.procedures.keeping import Keeper
from tests.pki.makers import csr_pem

pytestmark = pytest.mark.slow

BROKEN = {
    "a certificate that the log does not tell of": (
        "DELETE FROM identities; DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)",
        "audit",
    ),
    "an entry that was changed": ("UPDATE audit SET entry = replace(entry, 'alice', 'mallory')", "audit log"),
    "a certificate that is gone": (
        "DELETE FROM identities WHERE name = 'bob'; DELETE FROM certificates WHERE name = 'bob'",
        "tells of a certificate that is not recorded",
    ),
    "a revocation that is gone": (
        "DELETE FROM revocations",
        "tells of a revocation that is not recorded",
    ),
    "a revocation that nobody made": (
        "INSERT INTO revocations SELECT serial, issued_at, 'superseded' FROM certificates WHERE name = 'bob';"
        "DELETE FROM identities WHERE name = 'bob'",
        "a revocation is recorded that the audit log does not tell of",
    ),
    "a revocation for a reason of its own": ("UPDATE revocations SET reason = 'mood'", "no reason"),
    "somebody else's certificate in a row": (
        "UPDATE certificates SET der = (SELECT der FROM certificates WHERE name = 'bob')"
        " WHERE name = 'alice'",
        "its serial number",
    ),
    "another name in a row": (
        "UPDATE identities SET name = 'mallory' WHERE name = 'bob';"
        "UPDATE certificates SET name = 'mallory' WHERE name = 'bob'",
        "its identity",
    ),
    "another key in a row": ("UPDATE certificates SET key_fingerprint = 'ff' WHERE name = 'bob'", "its key"),
    "a later end in a row": (
        "UPDATE certificates SET not_after = not_after + 1 WHERE name = 'bob'",
        "its end",
    ),
    "another issuer in a row": (
        "UPDATE certificates SET issuer_serial = (SELECT serial FROM certificates WHERE kind = 'root')",
        "its issuer|another issuing CA",
    ),
    "a host name in a row": (
        "UPDATE certificates SET sans = 'evil.example' WHERE name = 'bob'",
        "host names",
    ),
    "octets that are no certificate": (
        "UPDATE certificates SET der = x'00' WHERE name = 'bob'",
        "not as recorded",
    ),
    "another root": ("UPDATE certificates SET kind = 'root' WHERE name = 'bob'", "another root"),
    "another issuing CA": (
        "UPDATE certificates SET kind = 'issuing' WHERE name = 'bob'",
        "another issuing CA",
    ),
    "a kind that there is not": (
        "PRAGMA ignore_check_constraints = 1; UPDATE certificates SET kind = 'x' WHERE name = 'bob'",
        "damaged|cannot be read",
    ),
    "a moment that is none": (
        "UPDATE certificates SET not_after = 'soon' WHERE name = 'bob'",
        "cannot be read",
    ),
    "an identity held by a revoked certificate": (
        "INSERT INTO identities SELECT profile, name, key_fingerprint, serial, not_after FROM certificates"
        " WHERE name = 'carol'",
        "an identity is held by a certificate that is revoked",
    ),
    "an identity held by somebody else's": (
        "UPDATE identities SET serial = (SELECT serial FROM certificates WHERE name = 'carol')"
        " WHERE name = 'bob'",
        "an identity is held by a certificate that is not its own",
    ),
    "an identity that ends before its certificate": (
        "UPDATE identities SET not_after = not_after - 1 WHERE name = 'bob'",
        "an identity is held by a certificate that is not its own",
    ),
    "a renewal by another key": ("UPDATE renewals SET key_fingerprint = 'ff'", "a renewal is noted"),
    "a renewal that is not noted": ("DELETE FROM renewals", "without a note of it"),
    "a reference to nothing": (
        "PRAGMA foreign_keys = 0; UPDATE identities SET serial = 'ff' WHERE name = 'bob'",
        "refers to certificates that are not in it",
    ),
    "a revocation at no time of a list": ("UPDATE revocations SET revoked_at = -9999999999", "on no list"),
    "a list of a number beyond all": (
        "UPDATE crls SET number = 9223372036854775807 - number",
        "a revocation list of the number",
    ),
    "a list of no number": ("UPDATE crls SET number = 'x' || number", "cannot be read"),
    "a list at no time": ("UPDATE crls SET next_update = 'soon'", "cannot be read"),
    "a trigger": (
        "CREATE TRIGGER evil AFTER INSERT ON certificates BEGIN DELETE FROM revocations; END",
        "what is not keystead's: trigger of certificates",
    ),
    "a view": ("CREATE VIEW evil AS SELECT 1", "what is not keystead's: view of evil"),
    "a table": ("CREATE TABLE evil (x)", "what is not keystead's: table of evil"),
    "a column that drops what is written": (
        "ALTER TABLE revocations ADD COLUMN evil AS (CASE reason WHEN 'keyCompromise' THEN NULL ELSE 1 END)"
        " NOT NULL ON CONFLICT IGNORE",
        "not made as keystead makes one: table revocations: ON CONFLICT",
    ),
    "an index that forbids": (
        "CREATE UNIQUE INDEX evil ON revocations (reason)",
        "not made as keystead makes one: table revocations: index evil",
    ),
    "an index that is gone": (
        "DROP INDEX identities_key",
        "not made as .*lacks table identities: index identities_key",
    ),
}


@pytest.fixture
def keeper(keeper: Keeper) -> Keeper:
    """With alice, who renewed, bob, and carol, who is revoked."""
    office = keeper.office
    first = office.signed(csr_pem("alice"))
    office.signed(csr_pem("bob"))
    office.signed(csr_pem("carol"))
    office.revoke("carol")
    office.later(days=25)
    office.signed(renewal_of(first, "alice", "alice's second"))
    return keeper


@pytest.mark.parametrize(("statements", "match"), BROKEN.values(), ids=BROKEN)
def test_an_inventory_that_is_not_sound_is_refused_and_nothing_is_there(
    keeper: Keeper, statements: str, match: str
) -> None:
    with closing(sqlite3.connect(keeper.office.home.folder(DEV) / "inventory.db")) as database:
        database.executescript(statements)
    keeper.take()
    with pytest.raises(KeysteadError, match=match):
        keeper.restore()
    assert keeper.nothing_is_there()


@pytest.mark.parametrize("serial", ["", "0", "-5", "0x5", "AB", "zz", "8" + "0" * 39])
def test_a_carried_revocation_that_can_stand_on_no_list_is_refused(keeper: Keeper, serial: str) -> None:
    with keeper.office.authority(DEV) as authority, authority.inventory.writing() as tx:
        now = keeper.office.now
        carry(tx, authority.charter.issuing_serial, [Revocation(serial, now, "superseded")])
        append(tx, [authority.entry("certificate.revoke", now, "ok", serial=serial)])
    keeper.take()
    with pytest.raises(KeysteadError, match="can stand on no list"):
        keeper.restore()
    assert keeper.nothing_is_there()


def test_an_inventory_that_is_sound_is_taken(keeper: Keeper) -> None:
    keeper.take()
    assert keeper.restore().manifest.certificates == 6


def test_an_older_keysteads_inventory_is_taken_and_brought_up_to_date(keeper: Keeper) -> None:
    keeper.take()
    with closing(sqlite3.connect(keeper.office.home.folder(DEV) / "inventory.db")) as database:
        database.executescript(
            "DROP TABLE carried_revocations; UPDATE alembic_version SET version_num = '0001'"
        )
    keeper.take("old.backup")
    assert keeper.restore(keeper.source("old.backup")).manifest.certificates == 6
