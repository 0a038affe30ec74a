"""Commands of the CA at once on one home: constraints decide who wins, and everybody is told the truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from keystead.cli.ca.sign import MANY
from keystead.pki.serials import serial_hex
from tests.crashes.making import copied, take_back_to_the_first_schema, write_csrs
from tests.crashes.soundness import (
    assert_every_certificate_is_recorded,
    assert_handed_out,
    assert_issued_once,
    assert_no_strays,
    assert_whole,
    leaf,
    query,
    revoked_in,
)
from tests.crashes.works import BACKUP, INIT, VERIFY, make_identity, revoke, sign
from tests.e2e.conftest import Machine
from tests.races.starting import at_once
from tests.rounds import Rounds, in_sample_and_soak

GOOD = "SELECT count(*) FROM certificates WHERE name = ? AND serial NOT IN (SELECT serial FROM revocations)"


def inventory_of(machine: Machine) -> Path:
    return machine.folder / "home" / "dev" / "inventory.db"


def assert_sound(machine: Machine, *folders: str) -> None:
    home = machine.folder / "home"
    assert_no_strays(home, *(machine.folder / folder for folder in folders))
    assert_whole(home)


@in_sample_and_soak
def test_of_two_inits_at_once_one_makes_the_ca(prepared: Callable[[str], Machine], rounds: Rounds) -> None:
    for chance in rounds.play(1):
        with copied(prepared("init")) as shared:
            ran = at_once(shared, chance, INIT, INIT)
            assert sorted(each.code for each in ran) in ([0, 0], [0, 1])
            for each in ran:
                assert each.code == 0 or "already there" in each.text, each.text
            assert query(inventory_of(shared), "SELECT count(*) FROM certificates") == [(2,)]
            assert_sound(shared)


@in_sample_and_soak
def test_two_signings_at_once_of_the_same_csrs_give_the_same_certificates(
    founded: Machine, rounds: Rounds
) -> None:
    _the_same_are_signed_twice(founded, rounds, sample=1, count=5)


@in_sample_and_soak
def test_two_signings_at_once_with_workers_give_the_same_certificates(
    founded: Machine, rounds: Rounds
) -> None:
    _the_same_are_signed_twice(founded, rounds, sample=1, count=MANY)


def _the_same_are_signed_twice(founded: Machine, rounds: Rounds, *, sample: int, count: int) -> None:
    write_csrs(founded.folder / "inbox", names := [f"n{number}" for number in range(count)])
    for chance in rounds.play(sample):
        with copied(founded) as shared:
            for each in at_once(shared, chance, sign("inbox"), sign("inbox")):
                assert each.code == 0, each.text
            assert_issued_once(inventory_of(shared), names)
            assert_handed_out(shared.folder / "inbox", names)
            assert_every_certificate_is_recorded(inventory_of(shared), shared.folder / "inbox")
            assert_sound(shared, "inbox")


@in_sample_and_soak
def test_eight_signings_at_once_of_others_do_not_hinder_each_other(founded: Machine, rounds: Rounds) -> None:
    batches = {f"batch-{batch}": [f"n{batch}-{each}" for each in range(5)] for batch in range(8)}
    for folder, names in batches.items():
        write_csrs(founded.folder / folder, names)
    for chance in rounds.play(1):
        with copied(founded) as shared:
            for each in at_once(shared, chance, *map(sign, batches)):
                assert each.code == 0, each.text
            for folder, names in batches.items():
                assert_issued_once(inventory_of(shared), names)
                assert_handed_out(shared.folder / folder, names)
            assert_sound(shared, *batches)


@in_sample_and_soak
def test_a_revocation_while_others_are_signed_is_in_the_list(founded: Machine, rounds: Rounds) -> None:
    write_csrs(founded.folder / "first", ["ends", "replaced"])
    founded.ok(*sign("first"))
    write_csrs(founded.folder / "inbox", names := [f"n{number}" for number in range(20)])
    write_csrs(founded.folder / "other", ["replaced"])
    gone = {leaf(founded.folder / f"first/{name}.crt").serial_number for name in ("ends", "replaced")}
    commands = sign("inbox"), sign("other", "--replace"), revoke("ends", "keyCompromise")
    for chance in rounds.play(1):
        with copied(founded) as shared:
            for each in at_once(shared, chance, *commands):
                assert each.code == 0, each.text
            assert set(revoked_in(shared.folder / "home/dev/crl.pem")) == gone
            assert_issued_once(inventory_of(shared), names)
            assert_sound(shared, "inbox", "other")


@in_sample_and_soak
def test_a_revocation_and_the_signing_of_the_same_name_leave_no_certificate_that_is_both(
    founded: Machine, rounds: Rounds
) -> None:
    write_csrs(founded.folder / "inbox", ["alice"])
    founded.ok(*sign("inbox"))
    commands = sign("inbox", "--reissue", "--lifetime", "1d"), revoke("alice", "keyCompromise")
    for chance in rounds.play(1):
        with copied(founded) as shared:
            signed, revoked = at_once(shared, chance, *commands)
            assert revoked.code == 0, revoked.text
            assert signed.code in {0, 1}, signed.text
            # The key is barred: nothing of it stays good, whoever came first.
            assert query(inventory_of(shared), GOOD, "alice") == [(0,)]
            assert_sound(shared)


@in_sample_and_soak
def test_of_two_renewals_at_once_of_one_serial_one_is_signed(founded: Machine, rounds: Rounds) -> None:
    founded.ok("csr", "alice", "--dir", "one")
    founded.ok(*sign("one", "--out", "out"))
    founded.ok("install", "out/alice.pem", "--dir", "one")
    old = serial_hex(leaf(founded.folder / "one/alice.crt").serial_number)
    folders = "one", "two"
    with copied(founded) as other:
        (other.folder / "one").rename(founded.folder / "two")
    for folder in folders:
        founded.ok("csr", "alice", "--renew", "--dir", folder)
    for chance in rounds.play(1):
        with copied(founded) as shared:
            ran = at_once(shared, chance, *map(sign, folders))
            assert sorted(each.code for each in ran) == [0, 1], ran
            renewing = "SELECT count(*) FROM certificates WHERE renews = ?"
            assert query(inventory_of(shared), renewing, old) == [(1,)]
            won = folders[[each.code for each in ran].index(0)]
            shared.ok("install", f"{won}/alice.pem", "--dir", won)
            assert_sound(shared, won)


@in_sample_and_soak
def test_two_commands_at_once_bring_an_older_inventory_up_to_date_once(
    founded: Machine, rounds: Rounds
) -> None:
    take_back_to_the_first_schema(inventory_of(founded))
    asked = "ca", "list", "--home", "home"
    for chance in rounds.play(1):
        with copied(founded) as shared:
            for each in at_once(shared, chance, asked, asked):
                assert each.code == 0, each.text
            assert query(inventory_of(shared), "SELECT count(*) FROM alembic_version") == [(1,)]
            assert_sound(shared)


@in_sample_and_soak
def test_a_backup_that_is_taken_while_others_sign_can_be_restored(founded: Machine, rounds: Rounds) -> None:
    make_identity(founded)
    write_csrs(founded.folder / "inbox", names := [f"n{number}" for number in range(MANY)])
    for chance in rounds.play(1):
        with copied(founded) as shared:
            for each in at_once(shared, chance, sign("inbox"), BACKUP):
                assert each.code == 0, each.text
            assert_issued_once(inventory_of(shared), names)
            shared.ok(*VERIFY)
            assert_sound(shared, "inbox")
