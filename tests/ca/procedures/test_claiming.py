"""keys.db made anew of what was issued: all of the home's environments, or nothing; audited in each."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from keystead.ca.audit import log
from keystead.ca.audit.entry import KEYS_REBUILT
from keystead.ca.claims import COMPROMISED, open_claims
from keystead.ca.home import open_books
from keystead.ca.inventory.writes import carry
from keystead.ca.procedures import claiming
from keystead.ca.procedures.claiming import Rebuilt, rebuild
from keystead.errors import KeysteadError
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.revocation import KEY_COMPROMISE, Revocation
from tests.ca.office import DEV, STAGING, Office
from tests.pki.makers import csr_pem, key


def fingerprint(name: str) -> str:
    return Fingerprint.of_key(key(name).public_key()).hex


def lose_claims(office: Office) -> None:
    for path in office.home.path.glob("keys.db*"):
        path.unlink()


def rebuilt(office: Office) -> Rebuilt:
    return rebuild(office.home, actor="test", clock=lambda: office.now)


def holders(office: Office, *names: str) -> list[str | None]:
    with open_claims(office.home.claims) as claims:
        found = claims.holders(map(fingerprint, names))
    return [found.get(fingerprint(name)) for name in names]


@pytest.fixture
def used(office: Office) -> Office:
    """With alice of dev and bob of staging, and mallory of staging, whose key was stolen."""
    office.signed(csr_pem("alice"))
    office.signed(csr_pem("bob"), environment=STAGING)
    office.signed(csr_pem("mallory"), environment=STAGING)
    office.revoke("mallory", KEY_COMPROMISE, environment=STAGING)
    return office


def test_every_environments_keys_are_claimed_and_the_stolen_ones_barred(used: Office) -> None:
    lose_claims(used)
    assert rebuilt(used) == Rebuilt((DEV, STAGING), held=7, barred=1, crossed=0, unknown=0, aside=None)
    assert holders(used, "alice", "bob", "mallory") == [DEV, STAGING, COMPROMISED]
    for stolen, why in (("bob", "belongs to the environment 'staging'"), ("mallory", "compromised")):
        assert why in str(used.refused(csr_pem("eve", signer=key(stolen))))
    used.signed(csr_pem("carol"))


def test_begun_and_done_stand_in_each_environments_log(used: Office) -> None:
    lose_claims(used)
    rebuilt(used)
    for environment in (DEV, STAGING):
        with open_books(used.charter(environment)) as books, books.inventory.reading() as tx:
            told = [n.entry for n in log.entries(tx) if n.entry.what == KEYS_REBUILT]
        assert [(entry.who, entry.result) for entry in told] == [("test", "begun"), ("test", "ok")]
        assert "7 keys, 1 barred" in told[1].detail


def test_a_kill_in_the_middle_leaves_no_claims_and_the_next_makes_them(
    used: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_claims(used)

    def killed(old: Path, new: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(claiming, "move_file", killed)
    with pytest.raises(KeyboardInterrupt):
        rebuilt(used)
    assert not used.home.claims.exists()
    monkeypatch.undo()
    assert rebuilt(used).held == 7
    assert not list(used.home.path.glob(".keys.db.part*"))


def test_what_the_claims_know_and_no_inventory_does_stays_where_they_can_be_read(used: Office) -> None:
    with open_claims(used.home.claims) as claims:
        claims.mark_compromised([fingerprint("leaked")])
    rebuilt(used)
    assert holders(used, "leaked", "alice") == [COMPROMISED, DEV]


def test_what_is_left_beside_lost_claims_is_not_taken_for_the_new_ones(used: Office) -> None:
    lose_claims(used)
    log_of_the_lost = used.home.claims.with_name("keys.db-wal")
    log_of_the_lost.write_bytes(b"of another database")
    rebuilt(used)
    assert holders(used, "alice") == [DEV]
    assert used.home.claims.with_name("keys.db.broken.1-wal").read_bytes() == b"of another database"


def test_without_all_of_the_inventories_nothing_is_made(used: Office) -> None:
    lose_claims(used)
    for path in used.home.folder(STAGING).glob("inventory.db*"):
        path.unlink()
    with pytest.raises(KeysteadError, match=r"staging/inventory\.db"):
        rebuilt(used)
    assert not used.home.claims.exists()


def test_keys_that_have_crossed_and_keys_that_cannot_be_known_are_counted(used: Office) -> None:
    lose_claims(used)
    with open_books(used.charter()) as books, books.inventory.writing() as tx:
        carry(tx, books.charter.issuing_serial, [Revocation("abc", used.now, KEY_COMPROMISE)])
    with closing(sqlite3.connect(used.home.folder(STAGING) / "inventory.db")) as database:
        statement = "UPDATE certificates SET key_fingerprint = ? WHERE name = 'bob'"
        database.execute(statement, (fingerprint("alice"),))
        database.commit()
    done = rebuilt(used)
    assert (done.crossed, done.unknown) == (1, 1)
    assert holders(used, "alice") == [DEV]
