"""A subscriber's commands are killed at any moment: a pair fits always, and the next run completes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from keystead.errors import NotThere
from keystead.subscriber.folder import Material, open_folder
from keystead.subscriber.roles import Role
from tests.crashes.killing import course_of, kill
from tests.crashes.soundness import assert_no_strays, leaf
from tests.e2e.conftest import Machine
from tests.rounds import Rounds, in_sample_and_soak


@pytest.fixture
def renew_folder(machine: Machine, home: Path) -> Callable[[Path], Path]:
    """A function that copies a folder whose certificate is installed, for a test to renew."""
    machine.ok("csr", "alice", "--dir", "installed")
    machine.ok("ca", "sign", "installed/alice.csr", "--out", "outbox", "--home", str(home))
    machine.ok("install", "outbox/alice.pem", "--dir", "installed")

    def copy(to: Path) -> Path:
        return Path(shutil.copytree(machine.folder / "installed", to))

    return copy


def opened(folder: Path) -> Material:
    return open_folder(folder, Role.CLIENT, "alice")


@in_sample_and_soak
def test_a_killed_csr_leaves_a_key_that_the_next_run_takes_up(machine: Machine, rounds: Rounds) -> None:
    def csr(folder: str) -> tuple[str, ...]:
        return "csr", "alice", "--dir", folder

    course = course_of(machine, *csr("first"))
    folder = machine.folder / "alice"
    for chance in rounds.play(5):
        kill(machine, course, chance, *csr("alice"))
        key = folder / "alice.key"
        before = key.read_bytes() if key.exists() else None
        if before is not None and (folder / "alice.csr").exists():
            assert "a key is never overwritten" in machine.refused(*csr("alice")).text
        else:
            machine.ok(*csr("alice"))
        assert before in {None, key.read_bytes()}
        assert key.stat().st_mode & 0o077 == 0
        _assert_csr_fits(folder, "alice.key")
        shutil.rmtree(folder)


@in_sample_and_soak
def test_a_killed_renewal_request_leaves_the_pair_and_is_taken_up(
    machine: Machine, renew_folder: Callable[[Path], Path], rounds: Rounds
) -> None:
    def renew(folder: Path) -> tuple[str, ...]:
        return "csr", "alice", "--renew", "--dir", str(folder)

    course = course_of(machine, *renew(renew_folder(machine.folder / "first")))
    for chance in rounds.play(4):
        folder = renew_folder(machine.folder / "alice")
        pair = opened(folder).key_pem, opened(folder).chain_pem
        kill(machine, course, chance, *renew(folder))
        machine.ok(*renew(folder))
        assert (opened(folder).key_pem, opened(folder).chain_pem) == pair
        _assert_csr_fits(folder, "alice.new.key")
        assert not list(folder.glob(".*.tmp"))
        shutil.rmtree(folder)


def _assert_csr_fits(folder: Path, key: str) -> None:
    csr = x509.load_pem_x509_csr((folder / "alice.csr").read_bytes())
    private = load_pem_private_key((folder / key).read_bytes(), None)
    assert csr.public_key() == private.public_key()


@in_sample_and_soak
def test_a_killed_first_install_is_completed_by_the_next(
    machine: Machine, renew_folder: Callable[[Path], Path], rounds: Rounds
) -> None:
    def bare(to: Path) -> Path:
        folder = renew_folder(to)
        for name in ("alice.crt", "ca.crt", "crl.pem"):
            (folder / name).unlink()
        return folder

    def install(folder: Path) -> tuple[str, ...]:
        return "install", "outbox/alice.pem", "--dir", str(folder)

    course = course_of(machine, *install(bare(machine.folder / "first")))
    wanted = leaf(machine.folder / "outbox/alice.pem")
    for chance in rounds.play(5):
        folder = bare(machine.folder / "alice")
        kill(machine, course, chance, *install(folder))
        try:
            assert opened(folder).certificate == wanted  # never without its anchor and lists
            assert (folder / "crl.pem").exists()
        except NotThere as error:
            assert error.code in {"no-certificate"}
        machine.ok(*install(folder))
        assert opened(folder).certificate == wanted
        assert_no_strays(folder)
        shutil.rmtree(folder)


@in_sample_and_soak
def test_a_killed_renewal_swap_leaves_one_pair_that_fits(
    machine: Machine, home: Path, renew_folder: Callable[[Path], Path], rounds: Rounds
) -> None:
    renewing = renew_folder(machine.folder / "renewing")
    old = opened(renewing).certificate
    machine.ok("csr", "alice", "--renew", "--dir", str(renewing))
    machine.ok("ca", "sign", "renewing/alice.csr", "--out", "renewed", "--home", str(home))
    new = leaf(machine.folder / "renewed/alice.pem")

    def install(folder: Path) -> tuple[str, ...]:
        return "install", "renewed/alice.pem", "--dir", str(folder)

    def copied(to: Path) -> Path:
        return Path(shutil.copytree(renewing, to))

    course = course_of(machine, *install(copied(machine.folder / "first")))
    for chance in rounds.play(6):
        folder = copied(machine.folder / "alice")
        kill(machine, course, chance, *install(folder))
        assert opened(folder).certificate in {old, new}
        machine.ok(*install(folder))
        assert opened(folder).certificate == new
        assert_no_strays(folder)
        shutil.rmtree(folder)
