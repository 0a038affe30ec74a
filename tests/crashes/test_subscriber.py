"""A subscriber's commands are killed at any moment: a pair fits always, and the next run completes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from keystead.errors import NotThere
from keystead.subscriber.folder import Material, open_folder
from keystead.subscriber.roles import Role
from tests.crashes.killing import course_of, kill
from tests.crashes.making import copied
from tests.crashes.soundness import assert_no_strays, leaf
from tests.crashes.works import CSR, RENEW, WORKS
from tests.e2e.conftest import Machine
from tests.rounds import Rounds, in_sample_and_soak

Prepared = Callable[[str], Machine]


def opened(machine: Machine) -> Material:
    return open_folder(machine.folder / "alice", Role.CLIENT, "alice")


def assert_csr_fits(folder: Path, key: str) -> None:
    csr = x509.load_pem_x509_csr((folder / "alice.csr").read_bytes())
    private = load_pem_private_key((folder / key).read_bytes(), None)
    assert csr.public_key() == private.public_key()


@in_sample_and_soak
def test_a_killed_csr_leaves_a_key_that_the_next_run_takes_up(prepared: Prepared, rounds: Rounds) -> None:
    machine = prepared("csr")
    course = course_of(machine, *CSR)
    for chance in rounds.play(2):
        with copied(machine) as killed:
            folder = killed.folder / "alice"
            kill(killed, course, chance, *CSR)
            key = folder / "alice.key"
            before = key.read_bytes() if key.exists() else None
            WORKS["csr"].complete(killed)
            assert before in {None, key.read_bytes()}
            assert key.stat().st_mode & 0o077 == 0
            assert_csr_fits(folder, "alice.key")
            assert_no_strays(folder)


@in_sample_and_soak
def test_a_killed_renewal_request_leaves_the_pair_and_is_taken_up(prepared: Prepared, rounds: Rounds) -> None:
    machine = prepared("csr for a renewal")
    course = course_of(machine, *RENEW)
    pair = opened(machine).key_pem, opened(machine).chain_pem
    for chance in rounds.play(1):
        with copied(machine) as killed:
            kill(killed, course, chance, *RENEW)
            assert (opened(killed).key_pem, opened(killed).chain_pem) == pair
            killed.ok(*RENEW)
            assert (opened(killed).key_pem, opened(killed).chain_pem) == pair
            assert_csr_fits(killed.folder / "alice", "alice.new.key")
            assert not list((killed.folder / "alice").glob(".*.tmp"))


@in_sample_and_soak
def test_a_killed_first_install_is_completed_by_the_next(prepared: Prepared, rounds: Rounds) -> None:
    machine, words = prepared("install"), WORKS["install"].words
    course = course_of(machine, *words)
    wanted = leaf(machine.folder / "first/alice.pem")
    for chance in rounds.play(2):
        with copied(machine) as killed:
            kill(killed, course, chance, *words)
            try:
                assert opened(killed).certificate == wanted  # never without its anchor and lists
                assert (killed.folder / "alice/crl.pem").exists()
            except NotThere as error:
                assert error.code == "no-certificate"
            killed.ok(*words)
            assert opened(killed).certificate == wanted
            assert_no_strays(killed.folder / "alice")


@in_sample_and_soak
def test_a_killed_renewal_swap_leaves_one_pair_that_fits(prepared: Prepared, rounds: Rounds) -> None:
    machine, words = prepared("install a renewal"), WORKS["install a renewal"].words
    course = course_of(machine, *words)
    old, new = opened(machine).certificate, leaf(machine.folder / "second/alice.pem")
    for chance in rounds.play(2):
        with copied(machine) as killed:
            kill(killed, course, chance, *words)
            assert opened(killed).certificate in {old, new}
            killed.ok(*words)
            assert opened(killed).certificate == new
            assert_no_strays(killed.folder / "alice")
