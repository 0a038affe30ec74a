"""A practice opens the CA's keys: it stands in the log of the environment, where that is."""

from __future__ import annotations

import pytest

from keystead.ca.audit import log
from keystead.ca.audit.entry import REHEARSED
from keystead.ca.founding import found
from keystead.ca.home import Home, open_books
from keystead.ca.procedures.rehearsal import rehearse
from keystead.ca.procedures.restore import Restored
from keystead.errors import KeysteadError
from keystead.machine.secrets import Secrets
from keystead.watch.backups import backups_in
from tests.ca.office import DEV, STAGING, Office, configuration
from tests.ca.procedures.keeping import Keeper
from tests.pki.makers import csr_pem


def practise(keeper: Keeper, home: Home | None = None, secrets: Secrets | None = None) -> Restored:
    return rehearse(
        home or keeper.office.home,
        keeper.source(),
        secrets or keeper.office.secrets,
        actor="test",
        clock=lambda: keeper.office.now,
        announce=lambda manifest: None,
    )


def practices(office: Office, environment: str = DEV) -> list[tuple[str, str]]:
    with open_books(office.charter(environment)) as books, books.inventory.reading() as tx:
        told = [numbered.entry for numbered in log.entries(tx)]
    return [(entry.result, entry.request) for entry in told if entry.what == REHEARSED]


def test_a_practice_is_audited_before_and_after_by_the_backups_name(keeper: Keeper) -> None:
    name = keeper.take().manifest.backup
    practise(keeper)
    assert practices(keeper.office) == [("begun", name), ("ok", name)]
    assert practices(keeper.office, STAGING) == []


def test_a_practice_that_fails_was_begun(keeper: Keeper) -> None:
    keeper.take(environment=STAGING)
    with pytest.raises(KeysteadError):
        practise(keeper, secrets=Secrets({}))
    assert [result for result, _ in practices(keeper.office, STAGING)] == ["begun"]


def test_a_practice_is_no_backup(keeper: Keeper) -> None:
    keeper.take()
    keeper.office.signed(csr_pem("alice"))
    before = backups_in(keeper.office.home.path)
    keeper.office.later(hours=1)
    practise(keeper)
    assert backups_in(keeper.office.home.path) == before


def test_on_another_machine_a_practice_leaves_nothing(keeper: Keeper) -> None:
    keeper.take()
    practise(keeper, keeper.elsewhere)
    assert practices(keeper.office) == []
    assert not keeper.elsewhere.path.exists()


def test_another_ca_of_the_same_name_is_told_of_no_practice(keeper: Keeper) -> None:
    keeper.take()
    other = Office(keeper.office.folder / "other")
    other.folder.mkdir()
    found(other.home, configuration(DEV), None, actor="other", clock=lambda: other.now)
    practise(keeper, other.home)
    assert practices(other) == []


@pytest.mark.parametrize("lost", ["ca.toml", "inventory.db"])
def test_an_environment_that_is_damaged_does_not_keep_its_archive_from_being_practised(
    keeper: Keeper, lost: str
) -> None:
    keeper.take()
    (keeper.office.home.folder(DEV) / lost).unlink()
    assert practise(keeper).manifest.environment == DEV
