"""A full disk, a read-only one, a clock set back: a clear error, nothing half done, and then it goes on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crashes.killing import assert_nobody_is_left
from tests.crashes.making import write_csrs
from tests.crashes.soundness import (
    assert_every_certificate_is_recorded,
    assert_handed_out,
    assert_issued_once,
    assert_no_strays,
    assert_whole,
    query,
)
from tests.e2e.conftest import KEYSTEAD, PATIENCE, Machine

pytestmark = pytest.mark.slow

ROOMY = "size=64m"
A_YEAR_AGO = "-365d"


@dataclass(frozen=True)
class Disk:
    """A file system of its own, which a test can fill and lock."""

    path: Path

    def change(self, options: str) -> None:
        """Mount it anew with other options."""
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True)

    def fill(self, leaving: int) -> None:
        """Leave ``leaving`` octets free."""
        with (self.path / "ballast").open("wb") as file:
            status = os.statvfs(self.path)
            file.write(bytes(max(0, status.f_bavail * status.f_frsize - leaving)))

    def empty(self) -> None:
        """Give the room back."""
        (self.path / "ballast").unlink()


@pytest.fixture
def disk(machine: Machine) -> Iterator[Disk]:
    """A small file system in memory."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system of its own")
    path = machine.folder / "disk"
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ROOMY, "tmpfs", str(path)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield Disk(path)
    subprocess.run(["umount", "-l", str(path)], check=True)


def init(home: Path) -> tuple[str, ...]:
    return "ca", "init", "--no-passphrase", "--home", str(home)


@pytest.mark.parametrize("left", [0, 16_384])
def test_a_disk_too_full_for_a_ca_gets_none(machine: Machine, disk: Disk, left: int) -> None:
    home = disk.path / "home"
    disk.fill(left)
    said = machine.refused(*init(home)).text
    assert "full" in said
    assert not (home / "dev").exists()
    disk.empty()
    machine.ok(*init(home))
    assert_whole(machine, home)
    assert_no_strays(disk.path)


@pytest.mark.parametrize(("count", "left"), [(3, 0), (3, 32_768), (200, 1_048_576)])
def test_a_signing_that_fills_the_disk_is_completed_later(
    machine: Machine, disk: Disk, count: int, left: int
) -> None:
    home, folder = disk.path / "home", disk.path / "inbox"
    names = [f"n{number}" for number in range(count)]
    machine.ok(*init(home))
    write_csrs(folder, names)
    disk.fill(left)
    assert "full" in machine.refused("ca", "sign", str(folder), "--home", str(home)).text
    assert_nobody_is_left(machine)
    disk.empty()
    assert_every_certificate_is_recorded(home / "dev" / "inventory.db", folder)
    machine.ok("ca", "sign", str(folder), "--home", str(home))
    assert_issued_once(home / "dev" / "inventory.db", names)
    assert_handed_out(folder, names)
    assert_no_strays(disk.path)
    assert_whole(machine, home)


def test_a_subscriber_s_full_disk_gets_neither_key_nor_csr(machine: Machine, disk: Disk) -> None:
    folder = disk.path / "alice"
    machine.ok("csr", "warm-up", "--dir", str(folder))
    disk.fill(0)
    assert "full" in machine.refused("csr", "alice", "--dir", str(folder)).text
    assert not list(folder.glob("*alice*"))
    disk.empty()
    machine.ok("csr", "alice", "--dir", str(folder))


def test_a_read_only_disk_is_named_and_nothing_is_done(machine: Machine, disk: Disk) -> None:
    home, folder = disk.path / "home", disk.path / "alice"
    inventory = home / "dev" / "inventory.db"
    machine.ok(*init(home))
    machine.ok("csr", "alice", "--dir", str(folder))
    machine.ok("ca", "sign", str(folder), "--home", str(home), "--out", "out")
    sign = "ca", "sign", str(folder), "--home", str(home), "--reissue", "--lifetime", "1d"
    revoke = "ca", "revoke", "alice", "--reason", "superseded", "--home", str(home)
    install = "install", "out/alice.pem", "--dir", str(folder)
    disk.change("ro")
    for words in (sign, revoke, install, ("csr", "bob", "--dir", str(folder)), init(disk.path / "other")):
        machine.refused(*words)
    disk.change("rw")
    assert query(inventory, "SELECT count(*) FROM certificates WHERE name = 'alice'") == [(1,)]
    assert query(inventory, "SELECT count(*) FROM revocations") == [(0,)]
    machine.ok(*install)
    machine.ok(*revoke)
    assert_no_strays(disk.path)
    assert_whole(machine, home)


@pytest.fixture
def a_year_ago(
    machine: Machine, program: Callable[[str], str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs a command which believes that it is a year earlier."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [program("faketime"), "-f", A_YEAR_AGO, KEYSTEAD, *words],
            cwd=machine.folder,
            env=machine.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def test_a_ca_whose_clock_was_set_back_signs_and_revokes_nothing(
    machine: Machine, home: Path, a_year_ago: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    inventory, crl = home / "dev" / "inventory.db", home / "dev" / "crl.pem"
    write_csrs(machine.folder / "first", ["alice"])
    write_csrs(machine.folder / "second", ["bob"])
    machine.ok("ca", "sign", "first", "--home", str(home))
    lists = crl.read_bytes()
    for words in (
        ("ca", "sign", "second", "--home", str(home)),
        ("ca", "crl", "--home", str(home)),
        ("ca", "revoke", "alice", "--reason", "superseded", "--home", str(home)),
    ):
        done = a_year_ago(*words)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "clock" in done.stderr, done.stderr
    assert crl.read_bytes() == lists
    assert query(inventory, "SELECT name FROM certificates WHERE kind = 'leaf'") == [("alice",)]
    assert not list((machine.folder / "second").glob("*.crt"))
    machine.ok("ca", "sign", "second", "--home", str(home))
    machine.ok("ca", "crl", "--home", str(home))
    assert_whole(machine, home)


def test_a_subscriber_whose_clock_was_set_back_installs_nothing(
    machine: Machine, home: Path, a_year_ago: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    machine.ok("csr", "alice", "--dir", "alice")
    machine.ok("ca", "sign", "alice/alice.csr", "--out", "out", "--home", str(home))
    install = "install", "out/alice.pem", "--dir", "alice"
    done = a_year_ago(*install)
    assert done.returncode == 1, done.stdout
    assert "not valid before" in done.stderr or "clock" in done.stderr, done.stderr
    assert not (machine.folder / "alice/alice.crt").exists()
    machine.ok(*install)
