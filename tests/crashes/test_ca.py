"""The CA's commands are killed at any moment: run again they complete; nothing is lost, or issued twice."""

from __future__ import annotations

from pathlib import Path

from keystead.ca.claims import COMPROMISED
from keystead.cli.ca.sign import MANY
from keystead.pki.serials import serial_hex
from tests.crashes.killing import assert_nobody_is_left, course_of, kill
from tests.crashes.making import columns_of, copied, take_back_to_the_first_schema, write_csrs
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

BARRED = f"holder = '{COMPROMISED}'"
INIT = "ca", "init", "--no-passphrase", "--home", "home"


def sign(folder: str, *more: str) -> tuple[str, ...]:
    return "ca", "sign", folder, "--home", "home", *more


def revoke(name: str, reason: str) -> tuple[str, ...]:
    return "ca", "revoke", name, "--reason", reason, "--home", "home"


def inventory_of(machine: Machine) -> Path:
    return machine.folder / "home" / "dev" / "inventory.db"


def assert_sound(machine: Machine, *folders: str) -> None:
    home = machine.folder / "home"
    assert_no_strays(home, *(machine.folder / folder for folder in folders))
    assert_whole(machine, home)


@in_sample_and_soak
def test_a_killed_init_leaves_all_or_nothing(machine: Machine, rounds: Rounds) -> None:
    course = course_of(machine, *INIT)
    for chance in rounds.play(1):
        with copied(machine) as killed:
            kill(killed, course, chance, *INIT)
            if (killed.folder / "home" / "dev").exists():
                assert_whole(killed, killed.folder / "home")
            killed.ok(*INIT)
            assert_sound(killed)


@in_sample_and_soak
def test_a_killed_signing_of_a_few_is_completed_by_the_next(
    machine: Machine, home: Path, rounds: Rounds
) -> None:
    _signings_are_killed(machine, rounds, sample=2, count=3)


@in_sample_and_soak
def test_a_killed_signing_with_workers_is_completed_by_the_next(
    machine: Machine, home: Path, rounds: Rounds
) -> None:
    _signings_are_killed(machine, rounds, sample=1, count=MANY)


def _signings_are_killed(machine: Machine, rounds: Rounds, *, sample: int, count: int) -> None:
    write_csrs(machine.folder / "inbox", names := [f"n{number}" for number in range(count)])
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
def test_a_killed_signing_of_a_renewal_renews_once(machine: Machine, home: Path, rounds: Rounds) -> None:
    machine.ok("csr", "alice", "--dir", "alice")
    machine.ok(*sign("alice", "--out", "first"))
    machine.ok("install", "first/alice.pem", "--dir", "alice")
    machine.ok("csr", "alice", "--renew", "--dir", "alice")
    old = serial_hex(leaf(machine.folder / "alice/alice.crt").serial_number)
    words = sign("alice", "--out", "second")
    course = course_of(machine, *words)
    for chance in rounds.play(1):
        with copied(machine) as killed:
            kill(killed, course, chance, *words)
            assert_every_certificate_is_recorded(inventory_of(killed), killed.folder / "second")
            killed.ok(*words)
            renewed = query(inventory_of(killed), "SELECT renews FROM certificates WHERE name = 'alice'")
            assert sorted(renewed, key=str) == sorted([(None,), (old,)], key=str)
            killed.ok("install", "second/alice.pem", "--dir", "alice")
            assert_sound(killed, "alice", "second")


@in_sample_and_soak
def test_a_killed_signing_that_replaces_ends_the_old_with_the_new(
    machine: Machine, home: Path, rounds: Rounds
) -> None:
    write_csrs(machine.folder / "old", ["alice"])
    machine.ok(*sign("old"))
    old = leaf(machine.folder / "old/alice.crt").serial_number
    write_csrs(machine.folder / "new", ["alice"])
    words = sign("new", "--replace")
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
            assert revoked_in(killed.folder / "home/dev/crl.pem") == [old]
            assert revoked_in(killed.folder / "new/crl.pem") == [old]
            assert_handed_out(killed.folder / "new", ["alice"])
            assert_sound(killed, "new")


@in_sample_and_soak
def test_a_killed_revocation_is_completed_by_the_next(machine: Machine, home: Path, rounds: Rounds) -> None:
    write_csrs(machine.folder / "inbox", ["before", "alice", "bob"])
    machine.ok(*sign("inbox"))
    machine.ok(*revoke("before", "cessationOfOperation"))
    before, alice = (leaf(machine.folder / f"inbox/{name}.crt").serial_number for name in ("before", "alice"))
    words = revoke("alice", "superseded")
    course = course_of(machine, *words)
    for chance in rounds.play(1):
        with copied(machine) as killed:
            kill(killed, course, chance, *words)
            assert set(revoked_in(killed.folder / "home/dev/crl.pem")) in ({before}, {before, alice})
            killed.ok(*words)
            assert set(revoked_in(killed.folder / "home/dev/crl.pem")) == {before, alice}
            reasons = query(inventory_of(killed), "SELECT reason FROM revocations ORDER BY reason")
            assert reasons == [("cessationOfOperation",), ("superseded",)]
            assert_sound(killed)


@in_sample_and_soak
def test_a_killed_revocation_of_a_lost_key_bars_it_and_what_was_renewed_from_it(
    machine: Machine, home: Path, rounds: Rounds
) -> None:
    machine.ok("csr", "alice", "--dir", "alice")
    machine.ok(*sign("alice", "--out", "first"))
    machine.ok("install", "first/alice.pem", "--dir", "alice")
    machine.ok("csr", "alice", "--renew", "--dir", "alice")
    machine.ok(*sign("alice", "--out", "second"))
    lost = {leaf(machine.folder / f"{folder}/alice.crt").serial_number for folder in ("first", "second")}
    words = revoke("alice", "keyCompromise")
    course = course_of(machine, *words)
    for chance in rounds.play(1):
        with copied(machine) as killed:
            kill(killed, course, chance, *words)
            killed.ok(*words)
            assert set(revoked_in(killed.folder / "home/dev/crl.pem")) == lost
            barred = query(killed.folder / "home/keys.db", f"SELECT count(*) FROM keys WHERE {BARRED}")
            assert barred == [(2,)]
            assert_sound(killed)


@in_sample_and_soak
def test_a_killed_publication_leaves_whole_lists_that_never_go_back(
    machine: Machine, home: Path, rounds: Rounds
) -> None:
    words = "ca", "crl", "--home", "home", "--out", "copy.pem"
    before = _numbers(home / "dev" / "crl.pem")
    course = course_of(machine, *words)
    for chance in rounds.play(1):
        with copied(machine) as killed:
            published = killed.folder / "home/dev/crl.pem"
            kill(killed, course, chance, *words)
            between = _numbers(published)
            killed.ok(*words)
            after = _numbers(published)
            assert all(before[key] <= between[key] < after[key] for key in before), (before, between, after)
            assert _numbers(killed.folder / "copy.pem") == after
            assert not list(killed.folder.glob(".*.tmp"))
            assert_sound(killed)


def _numbers(path: Path) -> dict[str, int]:
    lists = crls(path)
    assert len(lists) == 2
    return {crl.issuer.rfc4514_string(): crl_number(crl) for crl in lists}


@in_sample_and_soak
def test_a_killed_migration_is_completed_by_the_next_command(
    machine: Machine, home: Path, rounds: Rounds
) -> None:
    inventory = inventory_of(machine)
    schema = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    newest = query(inventory, schema)
    write_csrs(machine.folder / "inbox", [f"n{number}" for number in range(40)])
    machine.ok(*sign("inbox"))
    machine.ok(*revoke("n7", "superseded"))
    take_back_to_the_first_schema(inventory)
    content = _content(inventory, columns := columns_of(inventory))
    words = "ca", "list", "--home", "home"
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
