"""The CA's commands are killed at any moment: run again they complete; nothing is lost, or issued twice."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.crashes.killing import assert_nobody_is_left, course_of, kill
from tests.crashes.making import write_csrs
from tests.crashes.soundness import (
    assert_every_certificate_is_recorded,
    assert_handed_out,
    assert_issued_once,
    assert_no_strays,
    assert_whole,
    crl_number,
    crls,
    leaf,
    query,
    revoked_in,
)
from tests.e2e.conftest import Machine
from tests.rounds import Rounds, in_sample_and_soak


def init(home: Path) -> tuple[str, ...]:
    return "ca", "init", "--no-passphrase", "--home", str(home)


def sign(home: Path, folder: Path) -> tuple[str, ...]:
    return "ca", "sign", str(folder), "--home", str(home)


@in_sample_and_soak
def test_a_killed_init_leaves_all_or_nothing(machine: Machine, rounds: Rounds) -> None:
    course = course_of(machine, *init(machine.folder / "first"))
    home = machine.folder / "home"
    for chance in rounds.play(2):
        kill(machine, course, chance, *init(home))
        if (home / "dev").exists():
            assert_whole(machine, home)
        machine.ok(*init(home))
        assert_whole(machine, home)
        assert_no_strays(home)
        shutil.rmtree(home)


@in_sample_and_soak
def test_a_killed_signing_of_a_few_is_completed_by_the_next(
    machine: Machine, home: Path, rounds: Rounds
) -> None:
    _signings_are_killed(machine, home, rounds, sample=4, count=3)


@in_sample_and_soak
def test_a_killed_signing_with_workers_is_completed_by_the_next(
    machine: Machine, home: Path, rounds: Rounds
) -> None:
    _signings_are_killed(machine, home, rounds, sample=2, count=200)


def _signings_are_killed(machine: Machine, home: Path, rounds: Rounds, *, sample: int, count: int) -> None:
    inventory = home / "dev" / "inventory.db"
    write_csrs(first := machine.folder / "first", [f"first-{number}" for number in range(count)])
    course = course_of(machine, *sign(home, first))
    for round_number, chance in enumerate(rounds.play(sample)):
        names = [f"n{round_number}-{number}" for number in range(count)]
        write_csrs(folder := machine.folder / f"round-{round_number}", names)
        kill(machine, course, chance, *sign(home, folder))
        assert_nobody_is_left(folder)
        assert_every_certificate_is_recorded(inventory, folder)
        machine.ok(*sign(home, folder))
        assert_every_certificate_is_recorded(inventory, folder)
        assert_issued_once(inventory, names)
        assert_handed_out(folder, names)
        assert_no_strays(folder, home)
        assert_whole(machine, home)
        shutil.rmtree(folder)


@in_sample_and_soak
def test_a_killed_revocation_is_completed_by_the_next(machine: Machine, home: Path, rounds: Rounds) -> None:
    inventory, crl = home / "dev" / "inventory.db", home / "dev" / "crl.pem"

    def revoke(name: str) -> tuple[str, ...]:
        return "ca", "revoke", name, "--reason", "superseded", "--home", str(home)

    write_csrs(machine.folder / "one", ["first"])
    machine.ok(*sign(home, machine.folder / "one"))
    course = course_of(machine, *revoke("first"))
    for number, chance in enumerate(rounds.play(2)):
        write_csrs(folder := machine.folder / f"round-{number}", [f"n{number}"])
        machine.ok(*sign(home, folder))
        before = set(revoked_in(crl))
        kill(machine, course, chance, *revoke(f"n{number}"))
        assert before <= set(revoked_in(crl))
        machine.ok(*revoke(f"n{number}"))
        serial = leaf(folder / f"n{number}.crt").serial_number
        assert set(revoked_in(crl)) == before | {serial}
        (row,) = query(inventory, "SELECT serial FROM certificates WHERE name = ?", f"n{number}")
        assert query(inventory, "SELECT reason FROM revocations WHERE serial = ?", *row) == [("superseded",)]
        assert_no_strays(home)
        assert_whole(machine, home)
        shutil.rmtree(folder)


@in_sample_and_soak
def test_a_killed_publication_leaves_whole_lists_that_never_go_back(
    machine: Machine, home: Path, rounds: Rounds
) -> None:
    copy = machine.folder / "copy.pem"
    publish = "ca", "crl", "--home", str(home), "--out", str(copy)
    course = course_of(machine, *publish)
    for chance in rounds.play(2):
        before = _numbers(home / "dev" / "crl.pem")
        kill(machine, course, chance, *publish)
        between = _numbers(home / "dev" / "crl.pem")
        machine.ok(*publish)
        after = _numbers(home / "dev" / "crl.pem")
        assert all(before[key] <= between[key] <= after[key] for key in before), (before, between, after)
        assert all(before[key] < after[key] for key in before)
        assert _numbers(copy) == after
        assert_no_strays(home)
        assert not list(machine.folder.glob(".*.tmp"))
        assert_whole(machine, home)


def _numbers(path: Path) -> dict[str, int]:
    lists = crls(path)
    assert len(lists) == 2
    return {crl.issuer.rfc4514_string(): crl_number(crl) for crl in lists}


@in_sample_and_soak
def test_a_killed_migration_is_completed_by_the_next_command(
    machine: Machine, home: Path, rounds: Rounds
) -> None:
    inventory = home / "dev" / "inventory.db"
    schema = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    wanted = query(inventory, schema)
    asked = "ca", "list", "--home", str(home)

    def empty() -> None:
        for path in inventory.parent.glob("inventory.db*"):
            path.unlink()
        inventory.touch(0o600)

    empty()
    course = course_of(machine, *asked)
    for chance in rounds.play(2):
        empty()
        kill(machine, course, chance, *asked)
        machine.ok(*asked)
        assert query(inventory, schema) == wanted
        assert query(inventory, "PRAGMA integrity_check") == [("ok",)]
        assert query(inventory, "SELECT count(*) FROM alembic_version") == [(1,)]
        assert query(inventory, "SELECT size FROM audit_tree") == [(0,)]
        assert_no_strays(home)
