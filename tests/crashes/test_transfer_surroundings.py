"""A full disk, a read-only one, a clock set back, for server and client: told to both, nothing half done."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crashes.conditions import a_year_ago
from tests.crashes.disks import Disk
from tests.crashes.forking import ForkingMachine
from tests.crashes.soundness import assert_no_strays
from tests.e2e.conftest import Machine

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
SERVE = "--dir", "server", "--uploads", "disk/uploads"
UPLOAD = "upload", "file.bin", "--dir", "alice", "--to"
GET = "get", "file.bin", "--dir", "alice", "--out", "disk/fetched", "--to"


@pytest.fixture
def machine(tmp_path: Path, disk: Disk, scenes: Callable[[str], Path]) -> Machine:
    """Server and client, ready, with a disk of its own for what they receive. Commands are forked."""
    shutil.copytree(scenes("certified"), tmp_path, dirs_exist_ok=True)
    (tmp_path / "file.bin").write_bytes(b"octets! " * (2 * MIB))
    return ForkingMachine(tmp_path)


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("**/[!.]*") if path.is_file())


def test_a_server_takes_nothing_that_would_leave_too_little_room(machine: Machine, disk: Disk) -> None:
    with machine.serving(*SERVE) as server:  # a GiB is to stay free, which the disk never had
        said = machine.refused(*UPLOAD, server.url).err
        assert "room" in said, said
        assert visible(disk.path) == []


def test_an_upload_that_fills_the_server_s_disk_is_refused_and_comes_later(
    machine: Machine, disk: Disk
) -> None:
    with machine.serving(*SERVE, "--keep-free", "0") as server:
        disk.fill(5 * MIB)
        said = machine.refused(*UPLOAD, server.url).err
        assert "room" in said or "full" in said, said
        assert visible(disk.path) == ["ballast"]
        disk.empty()
        machine.ok(*UPLOAD, server.url)
        kept = disk.path / "uploads/client/alice/file.bin"
        assert kept.read_bytes() == (machine.folder / "file.bin").read_bytes()
        assert_no_strays(disk.path)


def test_a_server_whose_disk_is_read_only_says_so_to_its_client(machine: Machine, disk: Disk) -> None:
    with machine.serving(*SERVE, "--keep-free", "0") as server:
        machine.ok(*UPLOAD, server.url)
        disk.change("ro")
        said = machine.refused(*UPLOAD, server.url).err
        assert "read-only" in said, said
        machine.ok("ls", "--dir", "alice", "--to", server.url)
        disk.change("rw")
        machine.ok(*UPLOAD, server.url)
        assert_no_strays(disk.path)


def test_a_fetch_that_fills_the_disk_goes_on_when_there_is_room(machine: Machine, disk: Disk) -> None:
    with machine.serving("--dir", "server", "--uploads", "uploads", "--keep-free", "0") as server:
        machine.ok(*UPLOAD, server.url)
        disk.fill(5 * MIB)
        said = machine.refused(*GET, server.url).err
        assert "full" in said, said
        assert visible(disk.path) == ["ballast"]
        disk.empty()
        machine.ok(*GET, server.url)
        fetched = disk.path / "fetched/file.bin"
        assert fetched.read_bytes() == (machine.folder / "file.bin").read_bytes()
        assert_no_strays(disk.path)


def test_a_fetch_onto_a_read_only_disk_is_refused(machine: Machine, disk: Disk) -> None:
    with machine.serving("--dir", "server", "--uploads", "uploads", "--keep-free", "0") as server:
        machine.ok(*UPLOAD, server.url)
        disk.change("ro")
        said = machine.refused(*GET, server.url).err
        assert "the file system is read-only" in said, said
        disk.change("rw")
        machine.ok(*GET, server.url)


def test_neither_client_nor_server_works_with_a_clock_that_was_set_back(machine: Machine, disk: Disk) -> None:
    with machine.serving(*SERVE, "--keep-free", "0") as server:
        said = a_year_ago(machine, *UPLOAD, server.url)
        assert said.code == 1, said.text
        assert "clock" in said.err, said.err
        assert visible(disk.path) == []
    said = a_year_ago(machine, "serve", "--listen", "localhost:0", *SERVE)
    assert said.code == 1, said.text
    assert "clock" in said.err, said.err
