"""The CA's commands are killed at any moment: run again they complete; nothing is lost, or issued twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from keystead.ca.claims import COMPROMISED
from keystead.pki.serials import serial_hex
from tests.crashes.killing import assert_nobody_is_left, course_of, kill
from tests.crashes.making import columns_of, copied
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
from tests.crashes.works import FEW, INIT, MANY_NAMES, VERIFY, WORKS, sign
from tests.e2e.conftest import Machine
from tests.rounds import Rounds, in_sample_and_soak

Prepared = Callable[[str], Machine]


def inventory_of(machine: Machine) -> Path:
    return machine.folder / "home" / "dev" / "inventory.db"


def published_by(machine: Machine) -> Path:
    return machine.folder / "home" / "dev" / "crl.pem"


def assert_sound(machine: Machine, *folders: str) -> None:
    home = machine.folder / "home"
    assert_no_strays(home, *(machine.folder / folder for folder in folders))
    assert_whole(home)


@in_sample_and_soak
def test_a_killed_init_leaves_all_or_nothing(prepared: Prepared, rounds: Rounds) -> None:
    machine = prepared("init")
    course = course_of(machine, *INIT)
    for chance in rounds.play(1):
        with copied(machine) as killed:
            kill(killed, course, chance, *INIT)
            if (killed.folder / "home" / "dev").exists():
                assert_whole(killed.folder / "home")
            killed.ok(*INIT)
            assert_sound(killed)


@in_sample_and_soak
def test_a_killed_signing_of_a_few_is_completed_by_the_next(prepared: Prepared, rounds: Rounds) -> None:
    _signings_are_killed(prepared("sign a few"), rounds, FEW, sample=2)


@in_sample_and_soak
def test_a_killed_signing_with_workers_is_completed_by_the_next(prepared: Prepared, rounds: Rounds) -> None:
    _signings_are_killed(prepared("sign many"), rounds, MANY_NAMES, sample=1)


def _signings_are_killed(machine: Machine, rounds: Rounds, names: Sequence[str], *, sample: int) -> None:
    course = course_of(machine, *sign("inbox"))
    for chance in rounds.play(sample):
        with copied(machine) as killed:
            inbox = killed.folder / "inbox"
            kill(killed, course, chance, *sign("inbox"))
            assert_nobody_is_left(killed)
            assert_every_certificate_is_recorded(inventory_of(killed), inbox)
            killed.ok(*sign("inbox"))
            assert_every_certificate_is_recorded(inventory_of(killed), inbox)
            assert_issued_once(inventory_of(killed), names)
            assert_handed_out(inbox, names)
            assert_sound(killed, "inbox")


@in_sample_and_soak
def test_a_killed_signing_of_a_renewal_renews_once(prepared: Prepared, rounds: Rounds) -> None:
    machine, words = prepared("sign a renewal"), WORKS["sign a renewal"].words
    old = serial_hex(leaf(machine.folder / "alice/alice.crt").serial_number)
    course = course_of(machine, *words)
    for chance in rounds.play(1):
        with copied(machine) as killed:
            kill(killed, course, chance, *words)
            assert_every_certificate_is_recorded(inventory_of(killed), killed.folder / "second")
            killed.ok(*words)
            recorded = "SELECT renews FROM certificates WHERE name = 'alice' ORDER BY renews"
            assert query(inventory_of(killed), recorded) == [(None,), (old,)]
            killed.ok("install", "second/alice.pem", "--dir", "alice")
            assert_sound(killed, "alice", "second")


@in_sample_and_soak
def test_a_killed_signing_that_replaces_ends_the_old_with_the_new(prepared: Prepared, rounds: Rounds) -> None:
    machine, words = prepared("sign and replace"), WORKS["sign and replace"].words
    old = leaf(machine.folder / "old/alice.crt").serial_number
    course = course_of(machine, *words)
    issued = "SELECT count(*) FROM certificates WHERE name = 'alice'"
    for chance in rounds.play(2):
        with copied(machine) as killed:
            kill(killed, course, chance, *words)
            ((count,),) = query(inventory_of(killed), issued)
            assert query(inventory_of(killed), "SELECT count(*) + 1 FROM revocations") == [(count,)]
            assert_every_certificate_is_recorded(inventory_of(killed), killed.folder / "new")
            killed.ok(*words)
            assert query(inventory_of(killed), issued) == [(2,)]
            assert revoked_in(published_by(killed)) == [old]
            assert revoked_in(killed.folder / "new/crl.pem") == [old]
            assert_handed_out(killed.folder / "new", ["alice"])
            assert_sound(killed, "new")


@in_sample_and_soak
def test_a_killed_revocation_is_completed_by_the_next(prepared: Prepared, rounds: Rounds) -> None:
    machine, words = prepared("revoke"), WORKS["revoke"].words
    serial = leaf(machine.folder / "first/alice.crt").serial_number
    course = course_of(machine, *words)
    for chance in rounds.play(1):
        with copied(machine) as killed:
            kill(killed, course, chance, *words)
            assert revoked_in(published_by(killed)) in ([], [serial])
            killed.ok(*words)
            assert revoked_in(published_by(killed)) == [serial]
            recorded = query(inventory_of(killed), "SELECT serial, reason FROM revocations")
            assert recorded == [(serial_hex(serial), "superseded")]
            assert_sound(killed)


@in_sample_and_soak
def test_a_killed_revocation_of_a_lost_key_bars_it_and_what_was_renewed_from_it(
    prepared: Prepared, rounds: Rounds
) -> None:
    machine, words = prepared("revoke a lost key"), WORKS["revoke a lost key"].words
    lost = {leaf(machine.folder / f"{folder}/alice.crt").serial_number for folder in ("first", "second")}
    course = course_of(machine, *words)
    for chance in rounds.play(1):
        with copied(machine) as killed:
            kill(killed, course, chance, *words)
            killed.ok(*words)
            assert set(revoked_in(published_by(killed))) == lost
            holders = query(killed.folder / "home/keys.db", "SELECT holder FROM keys ORDER BY holder")
            assert holders == [(COMPROMISED,), (COMPROMISED,), ("dev",), ("dev",)]  # the CA's own two
            assert_sound(killed)


@in_sample_and_soak
def test_a_killed_publication_leaves_whole_lists_that_never_go_back(
    prepared: Prepared, rounds: Rounds
) -> None:
    machine, words = prepared("publish"), WORKS["publish"].words
    before = _numbers(published_by(machine))
    course = course_of(machine, *words)
    for chance in rounds.play(1):
        with copied(machine) as killed:
            kill(killed, course, chance, *words)
            between = _numbers(published_by(killed))
            killed.ok(*words)
            after = _numbers(published_by(killed))
            assert all(before[key] <= between[key] < after[key] for key in before), (before, between, after)
            assert _numbers(killed.folder / "copy.pem") == after
            assert not list(killed.folder.glob(".*.tmp"))
            assert_sound(killed)


def _numbers(path: Path) -> dict[str, int]:
    lists = crls(path)
    assert len(lists) == 2
    return {crl.issuer.rfc4514_string(): crl_number(crl) for crl in lists}


@in_sample_and_soak
def test_a_killed_migration_is_completed_by_the_next_command(prepared: Prepared, rounds: Rounds) -> None:
    machine, words = prepared("migrate"), WORKS["migrate"].words
    schema = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    newest = query(inventory_of(prepared("founded")), schema)
    content = _content(inventory_of(machine), columns := columns_of(inventory_of(machine)))
    assert query(inventory_of(machine), schema) != newest
    course = course_of(machine, *words)
    for chance in rounds.play(2):
        with copied(machine) as killed:
            kill(killed, course, chance, *words)
            assert _content(inventory_of(killed), columns) == content
            killed.ok(*words)
            assert query(inventory_of(killed), schema) == newest
            assert _content(inventory_of(killed), columns) == content
            assert query(inventory_of(killed), "SELECT count(*) FROM alembic_version") == [(1,)]
            assert_sound(killed)


def _content(inventory: Path, columns: dict[str, list[str]]) -> dict[str, list[tuple[object, ...]]]:
    return {
        table: query(inventory, f"SELECT {', '.join(names)} FROM {table} ORDER BY {names[0]}")
        for table, names in columns.items()
    }


@in_sample_and_soak
def test_a_killed_backup_leaves_a_whole_archive_or_none(prepared: Prepared, rounds: Rounds) -> None:
    machine, work = prepared("back up"), WORKS["back up"]
    course = course_of(machine, *work.words)
    for chance in rounds.play(1):
        with copied(machine) as killed:
            kill(killed, course, chance, *work.words)
            if (killed.folder / "dev.backup").exists():
                killed.ok(*VERIFY)
            work.complete(killed)
            killed.ok(*VERIFY)
            assert not list(killed.folder.glob(".*.tmp"))
            assert_sound(killed)


@in_sample_and_soak
def test_a_killed_restore_leaves_all_or_nothing_and_undoes_no_revocation(
    prepared: Prepared, rounds: Rounds
) -> None:
    machine, work = prepared("restore"), WORKS["restore"]
    revoked = set(revoked_in(machine.folder / "published.pem"))
    assert len(revoked) == 3  # alice's two, and one that the backup does not know
    course = course_of(machine, *work.words)
    for chance in rounds.play(1):
        with copied(machine) as killed:
            kill(killed, course, chance, *work.words)
            if (killed.folder / "home" / "dev").exists():
                assert_whole(killed.folder / "home")
            work.complete(killed)
            assert set(revoked_in(published_by(killed))) == revoked
            assert query(inventory_of(killed), "SELECT count(*) FROM certificates") == [(4,)]
            assert query(killed.folder / "home/keys.db", "SELECT count(*) FROM keys") == [(4,)]
            assert_sound(killed)
