"""Commands of the CA at once on one home: constraints decide who wins, and everybody is told the truth."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.crashes.making import write_csrs
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
from tests.e2e.conftest import Machine
from tests.races.starting import at_once
from tests.rounds import Rounds, in_sample_and_soak


def sign(home: Path, folder: Path, *more: str) -> tuple[str, ...]:
    return "ca", "sign", str(folder), "--home", str(home), *more


@in_sample_and_soak
def test_of_two_inits_at_once_one_makes_the_ca(machine: Machine, rounds: Rounds) -> None:
    home = machine.folder / "new"
    for chance in rounds.play(1):
        ran = at_once(machine, chance, *[("ca", "init", "--no-passphrase", "--home", str(home))] * 2)
        assert sorted(each.code for each in ran) in ([0, 0], [0, 1])
        for each in ran:
            assert each.code == 0 or "already there" in each.text, each.text
        assert query(home / "dev" / "inventory.db", "SELECT count(*) FROM certificates") == [(2,)]
        assert_no_strays(home)
        assert_whole(machine, home)
        shutil.rmtree(home)


@in_sample_and_soak
def test_two_signings_at_once_of_the_same_csrs_give_the_same_certificates(
    machine: Machine, home: Path, rounds: Rounds
) -> None:
    for number, chance in enumerate(rounds.play(2)):
        names = [f"n{number}-{each}" for each in range(5)]
        write_csrs(folder := machine.folder / f"round-{number}", names)
        for each in at_once(machine, chance, sign(home, folder), sign(home, folder)):
            assert each.code == 0, each.text
        assert_issued_once(home / "dev" / "inventory.db", names)
        assert_handed_out(folder, names)
        assert_every_certificate_is_recorded(home / "dev" / "inventory.db", folder)
        assert_no_strays(folder, home)
        shutil.rmtree(folder)
    assert_whole(machine, home)


@in_sample_and_soak
def test_eight_signings_at_once_of_others_do_not_hinder_each_other(
    machine: Machine, home: Path, rounds: Rounds
) -> None:
    for number, chance in enumerate(rounds.play(1)):
        batches = {
            machine.folder / f"round-{number}-{batch}": [f"n{number}-{batch}-{each}" for each in range(5)]
            for batch in range(8)
        }
        for folder, names in batches.items():
            write_csrs(folder, names)
        for each in at_once(machine, chance, *[sign(home, folder) for folder in batches]):
            assert each.code == 0, each.text
        for folder, names in batches.items():
            assert_issued_once(home / "dev" / "inventory.db", names)
            assert_handed_out(folder, names)
            assert_no_strays(folder, home)
            shutil.rmtree(folder)
    assert_whole(machine, home)


@in_sample_and_soak
def test_a_revocation_while_others_are_signed_is_in_the_list(
    machine: Machine, home: Path, rounds: Rounds
) -> None:
    crl = home / "dev" / "crl.pem"
    for number, chance in enumerate(rounds.play(1)):
        write_csrs(first := machine.folder / f"first-{number}", [f"ends-{number}", f"replaced-{number}"])
        machine.ok(*sign(home, first))
        ended, replaced = (leaf(first / f"{name}-{number}.crt") for name in ("ends", "replaced"))
        names = [f"n{number}-{each}" for each in range(20)]
        write_csrs(folder := machine.folder / f"round-{number}", names)
        write_csrs(other := machine.folder / f"other-{number}", [f"replaced-{number}"])
        ran = at_once(
            machine,
            chance,
            sign(home, folder),
            sign(home, other, "--replace"),
            ("ca", "revoke", f"ends-{number}", "--reason", "keyCompromise", "--home", str(home)),
        )
        assert [each.code for each in ran] == [0, 0, 0], [each.text for each in ran]
        assert {ended.serial_number, replaced.serial_number} <= set(revoked_in(crl))
        assert_issued_once(home / "dev" / "inventory.db", names)
        assert_no_strays(folder, other, home)
        assert_whole(machine, home)
        for path in (first, folder, other):
            shutil.rmtree(path)


@in_sample_and_soak
def test_a_revocation_and_the_signing_of_the_same_name_leave_no_certificate_that_is_both(
    machine: Machine, home: Path, rounds: Rounds
) -> None:
    inventory = home / "dev" / "inventory.db"
    for number, chance in enumerate(rounds.play(1)):
        name = f"n{number}"
        write_csrs(folder := machine.folder / f"round-{number}", [name])
        machine.ok(*sign(home, folder))
        signed, revoked = at_once(
            machine,
            chance,
            sign(home, folder, "--reissue", "--lifetime", "1d"),
            ("ca", "revoke", name, "--reason", "keyCompromise", "--home", str(home)),
        )
        assert revoked.code == 0, revoked.text
        assert signed.code in {0, 1}, signed.text
        good = query(
            inventory,
            "SELECT serial FROM certificates WHERE name = ?"
            " AND serial NOT IN (SELECT serial FROM revocations)",
            name,
        )
        assert good == []  # the key is barred: nothing of it stays good, whoever came first
        assert_whole(machine, home)
        shutil.rmtree(folder)


@in_sample_and_soak
def test_of_two_renewals_at_once_of_one_serial_one_is_signed(
    machine: Machine, home: Path, rounds: Rounds
) -> None:
    inventory = home / "dev" / "inventory.db"
    for number, chance in enumerate(rounds.play(1)):
        name = f"n{number}"
        folders = [machine.folder / f"{side}-{number}" for side in "ab"]
        machine.ok("csr", name, "--dir", str(folders[0]))
        machine.ok(*sign(home, folders[0], "--out", "out"))
        machine.ok("install", f"out/{name}.pem", "--dir", str(folders[0]))
        shutil.copytree(folders[0], folders[1])
        for folder in folders:
            machine.ok("csr", name, "--renew", "--dir", str(folder))
        ran = at_once(machine, chance, *[sign(home, folder) for folder in folders])
        assert sorted(each.code for each in ran) == [0, 1], [each.text for each in ran]
        (old,) = query(inventory, "SELECT serial FROM certificates WHERE name = ? AND renews IS NULL", name)
        assert query(inventory, "SELECT count(*) FROM certificates WHERE renews = ?", *old) == [(1,)]
        won = folders[[each.code for each in ran].index(0)]
        machine.ok("install", str(won / f"{name}.pem"), "--dir", str(won))
        assert_no_strays(won, home)
        for folder in folders:
            shutil.rmtree(folder)
    assert_whole(machine, home)
