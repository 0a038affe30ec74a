"""A CA whose keys are sealed: with a passphrase for people, with a credential for machines."""

from __future__ import annotations

import json
from pathlib import Path

import pyrage
import pytest

from tests.e2e.conftest import Machine

pytestmark = pytest.mark.slow

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def passphrase_file(machine: Machine) -> Path:
    """A file that only its owner can read."""
    path = machine.folder / "passphrase"
    path.touch(mode=0o600)
    path.write_text(PASSPHRASE + "\n")
    return path


def test_with_a_passphrase_from_init_to_revocation(machine: Machine, passphrase_file: Path) -> None:
    sealed = ("--env", "prod", "--passphrase-file", str(passphrase_file))
    init = machine.ok("ca", "init", "--org", "Example Ltd", *sealed)
    assert init.out.startswith("environment prod · root ")
    home = machine.folder / ".keystead/prod"
    for key in ("root.key.age", "issuing.key.age"):
        assert (home / key).read_text().startswith("-----BEGIN AGE ENCRYPTED FILE-----")
    assert not list(home.glob("*.key"))
    machine.ok("csr", "alice")
    machine.ok("ca", "sign", "certs/alice.csr", *sealed)
    machine.ok("install", "certs/alice.pem")
    machine.ok("ca", "revoke", "alice", "--reason", "superseded", *sealed)
    wrong = machine.folder / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("not this one\n")
    machine.refused("ca", "crl", "--env", "prod", "--passphrase-file", str(wrong))
    everything = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert PASSPHRASE.encode() not in everything


def test_unattended_with_an_age_identity_that_systemd_hands_over(machine: Machine) -> None:
    credentials = machine.folder / "credentials"
    credentials.mkdir(mode=0o700)
    identity = credentials / "keystead-identity"
    identity.touch(mode=0o600)
    identity.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    handed_over = {"CREDENTIALS_DIRECTORY": str(credentials)}
    machine.ok("ca", "init", "--env", "staging", **handed_over)
    machine.ok("csr", "alice")
    machine.ok("ca", "sign", "certs/alice.csr", "--env", "staging", **handed_over)
    refused = machine.refused("ca", "crl", "--env", "staging")
    assert "mend:" in refused.err


def test_a_revocation_is_recorded_while_the_key_is_not_at_hand_and_the_list_follows(
    machine: Machine, passphrase_file: Path
) -> None:
    sealed = ("--env", "staging", "--passphrase-file", str(passphrase_file))
    machine.ok("ca", "init", *sealed)
    machine.ok("csr", "alice")
    machine.ok("ca", "sign", "certs/alice.csr", *sealed)
    crl = machine.folder / ".keystead/staging/crl.pem"
    before = crl.read_bytes()
    refused = machine.refused("ca", "revoke", "alice", "--reason", "superseded", "--env", "staging")
    assert "recorded" in refused.text
    assert crl.read_bytes() == before
    (shown,) = json.loads(machine.ok("ca", "show", "alice", "--json", "--env", "staging").out)
    assert shown["state"] == "revoked"
    assert json.loads(machine.ok("ca", "audit", "--json", "--env", "staging").out)["crl_is_behind"]
    machine.ok("ca", "crl", *sealed)
    assert crl.read_bytes() != before


def test_without_a_terminal_nothing_waits_for_a_passphrase(machine: Machine) -> None:
    refused = machine.refused("ca", "init", "--env", "staging")
    assert "--passphrase-file" in refused.err
    assert not (machine.folder / ".keystead/staging").exists()
