"""How old the last backup is, and what it does not know: read from the audit log of each environment."""

from __future__ import annotations

import subprocess
import sys

import pytest

from keystead.watch.backups import Backup, backups_in
from tests.ca.office import DEV, STAGING, Office, founded_home, office
from tests.ca.procedures.keeping import Keeper
from tests.pki.makers import csr_pem

__all__ = ["founded_home", "office"]


@pytest.fixture
def keeper(office: Office) -> Keeper:
    return Keeper(office)


def last(office: Office, environment: str = DEV) -> Backup:
    (found,) = (each for each in backups_in(office.home.path) if each.environment == environment)
    return found


def test_where_there_is_no_home_nothing_is_told_of(office: Office) -> None:
    assert backups_in(office.folder / "nowhere") == ()


def test_what_was_never_backed_up_is_behind_except_in_dev(office: Office) -> None:
    office.signed(csr_pem("alice"))
    assert last(office) == Backup(DEV, None, issued=1, revoked=0)
    assert not last(office).is_behind
    assert last(office, STAGING).is_behind


def test_what_was_issued_and_revoked_since_is_counted(keeper: Keeper) -> None:
    office = keeper.office
    office.signed(csr_pem("alice"))
    keeper.take()
    assert last(office) == Backup(DEV, office.now, issued=0, revoked=0)
    assert not last(office).is_behind
    office.signed(csr_pem("bob"))
    office.revoke("alice")
    assert last(office) == Backup(DEV, office.now, issued=1, revoked=1)
    assert last(office).is_behind
    keeper.take("b.backup")
    assert not last(office).is_behind


def test_a_backup_that_failed_is_none(keeper: Keeper) -> None:
    crl = keeper.office.charter().crl_path
    crl.write_text("damaged")
    with pytest.raises(Exception, match="revocation list"):
        keeper.take()
    assert last(keeper.office).taken is None


def test_a_restored_environment_is_as_old_as_its_backup(keeper: Keeper) -> None:
    keeper.take()
    taken = keeper.office.now
    keeper.office.later(days=3)
    office = keeper.restored()
    assert last(office) == Backup(DEV, taken, issued=0, revoked=0)
    office.signed(csr_pem("bob"))
    assert last(office).issued == 1


def test_what_somebody_writes_into_a_csr_is_no_backup(office: Office) -> None:
    office.refused(b'"what":"ca.backup" "result":"ok"')
    assert last(office).taken is None


def test_an_inventory_that_cannot_be_read_is_left_to_doctor(office: Office) -> None:
    (office.home.folder(DEV) / "inventory.db").write_bytes(b"garbage" * 100)
    assert [found.environment for found in backups_in(office.home.path)] == [STAGING]


def test_looking_loads_no_database_toolkit() -> None:
    script = "import keystead.watch.backups, sys; print({'sqlalchemy', 'alembic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
