"""A full disk, a read-only one, a clock set back: a clear error, nothing half done, and then it goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crashes.conditions import a_year_ago, without_privilege
from tests.crashes.disks import Disk
from tests.crashes.forking import ForkingMachine
from tests.crashes.killing import assert_nobody_is_left
from tests.crashes.making import copied
from tests.crashes.soundness import assert_all_is_sound, content_of, query, revoked_in
from tests.crashes.works import WORKS
from tests.e2e.conftest import Machine

pytestmark = pytest.mark.slow

A_LITTLE = 49_152
TIMED = (
    "sign a few",
    "sign many",
    "sign a renewal",
    "sign and replace",
    "publish",
    "restore",
    "install",
    "install a renewal",
)
"""The works that a clock stops which was set back: not those that begin anew, whenever that is."""

every_work = pytest.mark.parametrize("name", WORKS)


Place = Callable[[str], Machine]


@pytest.fixture
def place(scenes: Callable[[str], Path], disk: Disk) -> Place:
    """A function that puts a machine where a work is prepared onto the disk, which is all that it has.

    Its commands are forked: nothing here hangs on their start.
    """

    def copy(name: str) -> Machine:
        shutil.copytree(scenes(name), disk.path, dirs_exist_ok=True)
        return ForkingMachine(disk.path)

    return copy


@every_work
def test_nothing_is_done_on_a_full_disk(place: Place, disk: Disk, name: str) -> None:
    machine, words = place(name), WORKS[name].words
    before = content_of(machine)
    disk.fill(0)
    said = machine.refused(*words).err
    assert_nobody_is_left(machine)
    disk.empty()
    assert "full" in said, said
    assert content_of(machine) == before
    machine.ok(*words)
    assert_all_is_sound(machine)


@every_work
def test_what_fills_the_disk_is_completed_later(place: Place, disk: Disk, name: str) -> None:
    machine, words = place(name), WORKS[name].words
    disk.fill(A_LITTLE)
    ran = machine.run(*words)
    assert_nobody_is_left(machine)
    disk.empty()
    assert ran.code == 0 or "full" in ran.err, ran.text  # a small work may find room enough
    WORKS[name].complete(machine)
    assert_all_is_sound(machine)


@every_work
def test_a_read_only_disk_is_named_and_nothing_is_done(place: Place, disk: Disk, name: str) -> None:
    machine, words = place(name), WORKS[name].words
    before = content_of(machine)
    disk.change("ro")
    said = machine.refused(*words).err
    disk.change("rw")
    assert "the file system is read-only" in said, said
    assert content_of(machine) == before
    machine.ok(*words)
    assert_all_is_sound(machine)


@every_work
def test_folders_that_may_not_be_written_are_named_and_nothing_is_done(
    prepared: Callable[[str], Machine], name: str
) -> None:
    with copied(prepared(name)) as machine:
        before = content_of(machine)
        folders = [machine.folder, *(path for path in machine.folder.rglob("*") if path.is_dir())]
        for folder in folders:
            folder.chmod(0o500)
        said = without_privilege(machine, *WORKS[name].words)
        for folder in folders:
            folder.chmod(0o700)
        assert said.code == 1, said.text
        assert "no permission" in said.err or "may not write" in said.err, said.err
        assert content_of(machine) == before
        machine.ok(*WORKS[name].words)
        assert_all_is_sound(machine)


@pytest.mark.parametrize("name", TIMED)
def test_nothing_is_done_by_a_clock_that_was_set_back(prepared: Callable[[str], Machine], name: str) -> None:
    with copied(prepared(name)) as machine:
        before = content_of(machine)
        done = a_year_ago(machine, *WORKS[name].words)
        assert done.code == 1, done.text
        assert "clock" in done.err, done.err
        assert content_of(machine) == before
        machine.ok(*WORKS[name].words)
        assert_all_is_sound(machine)


def test_a_revocation_is_recorded_by_a_clock_that_was_set_back_and_its_list_follows(
    prepared: Callable[[str], Machine],
) -> None:
    with copied(prepared("revoke")) as machine:
        published = machine.folder / "home/dev/crl.pem"
        done = a_year_ago(machine, *WORKS["revoke"].words)
        assert done.code == 1, done.text
        assert "clock" in done.err, done.err
        assert revoked_in(published) == []
        assert len(query(machine.folder / "home/dev/inventory.db", "SELECT * FROM revocations")) == 1
        machine.ok("ca", "crl", "--home", "home")
        assert len(revoked_in(published)) == 1
        assert_all_is_sound(machine)
