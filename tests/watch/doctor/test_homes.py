"""Broken homes of a CA: each is the good one with one thing broken, as for subscribers' folders.

Where the mend is a backup's, or a person's, the test plays that.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyrage
import pytest
import time_machine

from keystead.ca.claims import create_claims
from keystead.custody.vault import open_key, seal_keys, write_unsealed
from keystead.machine.secrets import IDENTITY_CREDENTIAL, Secrets
from keystead.watch.doctor.outcomes import Step
from tests.ca.office import identity_secrets
from tests.watch.doctor.practice import Practice, codes

HOME = "../office/home"


@pytest.fixture
def backup(practice: Practice, credentials: Path) -> Path:
    """A backup of `dev`, in the file BACKUP: what the mends name."""
    return back_up(practice, "dev")


@pytest.fixture
def credentials(practice: Practice, tmp_path: Path) -> Path:
    """An age identity, as systemd hands it over: it opens CA keys and backups alike."""
    identity_secrets(tmp_path / "credentials")
    practice.patch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    return tmp_path / "credentials"


def back_up(practice: Practice, environment: str) -> Path:
    identity = pyrage.x25519.Identity.from_str(
        (Path(os.environ["CREDENTIALS_DIRECTORY"]) / IDENTITY_CREDENTIAL).read_text()
    )
    path = practice.here / "BACKUP"
    practice.type_in(
        practice.office,
        f"keystead ca backup --env {environment} --recipient {identity.to_public()} --out {path}",
    )
    return path


@pytest.fixture
def sealed(practice: Practice, credentials: Path) -> Secrets:
    """The CA of `staging`, sealed to an age identity, and what opens it; backed up as it should be."""
    practice.type_in(practice.office, "keystead ca init --env staging --org example")
    back_up(practice, "staging")
    return Secrets({"CREDENTIALS_DIRECTORY": str(credentials)})


def later(days: float) -> time_machine.travel:
    return time_machine.travel(datetime.now(UTC) + timedelta(days=days), tick=True)


def by(do: Callable[[], object]) -> Callable[[Step], bool]:
    """A person does it, whatever the step says."""

    def play(step: Step) -> bool:
        do()
        return True

    return play


def test_a_good_home_is_left_in_peace(practice: Practice) -> None:
    assert practice.examine(home=HOME) == ()


def test_a_sealed_home_is_left_in_peace(practice: Practice, sealed: Secrets) -> None:
    assert practice.examine(home=HOME) == ()


def test_a_configuration_that_others_can_change(practice: Practice) -> None:
    (practice.home / "dev/ca.toml").chmod(0o666)
    practice.healed("ca-home-open", home=HOME)


@pytest.mark.parametrize("name", ["ca.toml", "root.crt", "issuing.crt"])
def test_a_damaged_configuration(practice: Practice, backup: Path, name: str) -> None:
    (practice.home / "dev" / name).write_text("damaged = ")
    practice.healed("ca-unreadable", home=HOME)


def test_an_environment_without_its_configuration(practice: Practice, backup: Path) -> None:
    (practice.home / "dev/ca.toml").unlink()
    practice.healed("ca-unreadable", home=HOME)


@pytest.mark.parametrize("name", ["dev/root.key", "dev/inventory.db", "keys.db"])
def test_a_secret_that_others_can_read(practice: Practice, name: str) -> None:
    (practice.home / name).chmod(0o644)
    practice.healed("ca-secret-open", home=HOME)


def test_a_key_that_is_lost(practice: Practice, sealed: Secrets) -> None:
    (practice.home / "staging/issuing.key.age").unlink()
    practice.healed("ca-key-missing", home=HOME)


def test_an_unsealed_copy_beside_a_sealed_key(practice: Practice, sealed: Secrets) -> None:
    folder = practice.home / "staging"
    write_unsealed(folder, "issuing", open_key(folder, "issuing", sealed))
    practice.healed("ca-key-beside-its-seal", home=HOME)


def test_an_unsealed_key_outside_dev(practice: Practice, sealed: Secrets) -> None:
    folder = practice.home / "staging"
    key = open_key(folder, "issuing", sealed)
    write_unsealed(folder, "issuing", key)
    (folder / "issuing.key.age").unlink()

    def seal() -> None:  # what `age -p` does, which wants a terminal
        seal_keys(folder, {"issuing": key}, sealed.for_sealing("it"))
        (folder / "issuing.key").unlink()

    practice.healed("ca-key-unsealed", home=HOME, play=by(seal))


def test_a_ca_s_key_that_git_would_take(practice: Practice) -> None:
    (practice.home / "dev/.gitignore").unlink()
    practice.healed("ca-key-in-git", home=HOME)


def test_no_inventory(practice: Practice, backup: Path) -> None:
    (practice.home / "dev/inventory.db").unlink()
    practice.healed("ca-inventory-missing", home=HOME)


def test_no_table_of_claims(practice: Practice, backup: Path) -> None:
    (practice.home / "keys.db").unlink()
    practice.healed("ca-claims-missing", home=HOME)


def test_a_table_of_claims_that_somebody_has_begun_anew(practice: Practice, backup: Path) -> None:
    (practice.home / "keys.db").unlink()
    create_claims(practice.home / "keys.db").close()
    practice.healed("ca-claims-missing", home=HOME)


def test_a_table_of_claims_that_is_damaged(practice: Practice, backup: Path) -> None:
    (practice.home / "keys.db").write_bytes(b"no database")
    practice.healed("ca-claims-missing", home=HOME)


def test_an_audit_log_that_was_changed(practice: Practice, backup: Path) -> None:
    database = sqlite3.connect(practice.home / "dev/inventory.db")
    database.execute("UPDATE audit SET entry = replace(entry, 'alice', 'mallory')")
    database.commit()
    database.close()
    practice.healed("ca-audit-tampered", home=HOME)


def test_a_clock_that_stands_before_the_newest_entry(practice: Practice) -> None:
    with later(-1):
        assert "ca-clock-behind" in codes(practice.examine(home=HOME))
    assert practice.examine(home=HOME) == ()


def test_an_environment_that_was_never_backed_up(practice: Practice, credentials: Path) -> None:
    practice.type_in(practice.office, "keystead ca init --env staging --org example")
    (finding,) = practice.examine(home=HOME)
    assert (finding.code, finding.weight) == ("ca-backup-old", "warning")
    practice.heal(finding, by(lambda: back_up(practice, "staging")))
    assert practice.examine(home=HOME) == ()


def test_a_backup_that_knows_nothing_of_what_was_issued_since(practice: Practice, backup: Path) -> None:
    practice.subscribe("bob")
    assert practice.examine(home=HOME) == ()
    with later(8):
        assert codes(practice.examine(home=HOME)) == ["ca-backup-old"]


def test_no_lists_to_hand_out(practice: Practice) -> None:
    (practice.home / "dev/crl.pem").unlink()
    practice.healed("ca-crl-missing", home=HOME)


@pytest.mark.parametrize(
    ("name", "code"), [("crl.pem", "ca-crl-missing"), ("inventory.db", "ca-inventory-missing")]
)
def test_a_damaged_file_is_one_finding(practice: Practice, backup: Path, name: str, code: str) -> None:
    for path in (practice.home / "dev").glob(f"{name}*"):
        path.unlink()
    (practice.home / "dev" / name).touch(0o600)
    (practice.home / "dev" / name).write_text("garbage")
    practice.healed(code, home=HOME)


def test_a_revocation_that_was_never_published(practice: Practice) -> None:
    before = (practice.home / "dev/crl.pem").read_bytes()
    practice.type_in(practice.office, "keystead ca revoke alice --reason superseded")
    (practice.home / "dev/crl.pem").write_bytes(before)
    practice.healed("ca-crl-behind", home=HOME)


@pytest.mark.parametrize(("days", "code"), [(80, "ca-crl-stale-soon"), (100, "ca-crl-stale")])
def test_lists_that_nobody_made_anew(practice: Practice, days: int, code: str) -> None:
    shutil.rmtree(practice.certs)
    with later(days):
        practice.healed(code, home=HOME)


def test_an_issuing_ca_that_ends_soon(practice: Practice) -> None:
    shutil.rmtree(practice.certs)
    with later(3 * 365 - 50):
        findings = practice.examine(home=HOME)
        assert codes(findings) == ["ca-crl-stale", "ca-crl-stale", "ca-ends-soon"]
        practice.heal(findings[0])
        assert codes(practice.examine(home=HOME)) == ["ca-ends-soon"]
        practice.heal(findings[2])
