"""A mangled ca.toml, as the installed command meets it: signed as before, or refused with nothing changed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509

from keystead.pki.certificates import identity_of
from tests.crashes.making import write_csrs
from tests.e2e.conftest import Machine
from tests.hostile.mutations import mutated
from tests.hostile.test_parsers import GATEWAY
from tests.rounds import Rounds, in_sample_and_soak


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def issued(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / "dev" / "inventory.db")) as database:
        return [serial for (serial,) in database.execute("SELECT serial FROM certificates ORDER BY serial")]


def claimed(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / "keys.db")) as database:
        return [key for (key,) in database.execute("SELECT fingerprint FROM keys ORDER BY fingerprint")]


@in_sample_and_soak
def test_a_mangled_configuration_signs_as_before_or_not_at_all(machine: Machine, rounds: Rounds) -> None:
    home = machine.folder / "home"
    machine.ok("ca", "init", "--no-passphrase", "--home", str(home))
    path = home / "dev" / "ca.toml"
    good = path.read_bytes() + GATEWAY
    for number, chance in enumerate(rounds.play(4)):
        write_csrs(folder := machine.folder / f"csrs-{number}", [f"n{number}"])
        path.write_bytes(mutated(good, chance))
        before = issued(home), claimed(home)

        ran = machine.run("ca", "sign", f"csrs-{number}/n{number}.csr", "--home", str(home))

        certificate = folder / f"n{number}.crt"
        if ran.code == 0:
            (leaf, *_) = x509.load_pem_x509_certificates(certificate.read_bytes())
            assert str(identity_of(leaf).trust_domain) == "dev.keystead.internal"
            assert len(issued(home)) == len(before[0]) + 1
        else:
            assert "error:" in ran.err
            assert not certificate.exists()
            assert (issued(home), claimed(home)) == before
