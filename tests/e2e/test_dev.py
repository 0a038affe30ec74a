"""`keystead dev`, then `serve` and `upload` without a flag: the shortest way."""

from __future__ import annotations

import subprocess

import pytest

from tests.e2e.conftest import Machine

pytestmark = pytest.mark.slow


def test_three_commands_without_a_flag(machine: Machine) -> None:
    machine.ok("dev")
    (machine.folder / "f").write_text("x")
    with machine.serving() as server:
        machine.ok("upload", "f", KEYSTEAD_SERVER=server.url)
        machine.ok("upload", "f")
        curl = subprocess.run(
            [
                *("curl", "-sS", "--cacert", "certs/ca.crt", "--cert", "certs/client.crt"),
                *("--key", "certs/client.key", "-T", "f", f"{server.url}/files/"),
            ],
            cwd=machine.folder,
            capture_output=True,
            text=True,
        )
    assert '"sha256"' in curl.stdout


def test_again_it_changes_nothing(machine: Machine) -> None:
    machine.ok("dev")
    before = {path: path.read_bytes() for path in (machine.folder / "certs").glob("*.*")}
    machine.ok("dev")
    assert {path: path.read_bytes() for path in (machine.folder / "certs").glob("*.*")} == before


def test_what_somebody_has_removed_is_there_again(machine: Machine) -> None:
    machine.ok("dev")
    for name in ("ca.crt", "crl.pem"):
        (machine.folder / "certs" / name).unlink()
    machine.ok("dev")
    with machine.serving() as server:
        (machine.folder / "f").write_text("x")
        machine.ok("upload", "f", KEYSTEAD_SERVER=server.url)


def test_a_key_that_is_gone_is_answered_with_how_to_begin_anew(machine: Machine) -> None:
    machine.ok("dev")
    (machine.folder / "certs/client.key").unlink()
    assert "rm -r certs; keystead dev" in machine.refused("dev").err


def test_a_revoked_client_gets_a_new_certificate(machine: Machine) -> None:
    machine.ok("dev")
    machine.ok("ca", "revoke", "client", "--reason", "superseded", "--home", "certs/dev-ca")
    old = (machine.folder / "certs/client.key").read_bytes()
    machine.ok("dev")
    assert (machine.folder / "certs/client.key").read_bytes() != old


def test_the_folder_of_another_environment_is_not_touched(machine: Machine) -> None:
    (machine.folder / "passphrase").write_text("four good words here\n")
    (machine.folder / "passphrase").chmod(0o600)
    prod = ("--env", "prod", "--passphrase-file", "passphrase")
    machine.ok("ca", "init", "--org", "Example", *prod)
    machine.ok("csr", "alice")
    machine.ok("ca", "sign", "certs/alice.csr", *prod)
    machine.ok("install", "certs/alice.pem")
    before = {path: path.read_bytes() for path in machine.folder.rglob("*") if path.is_file()}
    refused = machine.refused("dev")
    assert "another environment" in refused.err
    assert {path: path.read_bytes() for path in machine.folder.rglob("*") if path.is_file()} == before


def test_dev_is_named_in_every_subject(machine: Machine) -> None:
    machine.ok("dev")
    for name in ("ca.crt", "server.crt", "client.crt"):
        shown = machine.ok("show", f"certs/{name}").out
        assert "dev" in shown
        assert "local development" in shown
