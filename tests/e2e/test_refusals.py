"""Who is refused, and that both sides say why: through the installed command, and with curl as a stranger."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.conftest import Machine, Server

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("dev_ca")]

PATIENCE = 20.0


@pytest.fixture
def server(machine: Machine, certified: Callable[..., None]) -> Iterator[Server]:
    """A server of dev, with a file to send at hand."""
    certified("server", profile="server")
    (machine.folder / "report.txt").write_text("numbers")
    with machine.serving("--dir", "server") as running:
        yield running


def logged(server: Server, code: str) -> dict[str, object]:
    """The server's line about a refusal, waited for."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for line in server.log.read_text().splitlines():
            entry: dict[str, object] = json.loads(line) if line.startswith("{") else {}
            if entry.get("code") == code:
                return entry
        time.sleep(0.02)
    raise AssertionError(f"no {code} in:\n{server.log.read_text()}")


def curl(machine: Machine, server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    """curl against the server, trusting its CA."""
    command = ["curl", "-sS", "--cacert", "server/ca.crt", *words, f"{server.url}/whoami"]
    return subprocess.run(command, cwd=machine.folder, capture_output=True, text=True, timeout=PATIENCE)


def test_without_a_certificate(machine: Machine, server: Server) -> None:
    refused = curl(machine, server)
    assert refused.returncode != 0
    assert "certificate required" in refused.stderr
    assert logged(server, "no-certificate")["event"] == "handshake-refused"


def test_with_a_certificate_of_another_environment(
    machine: Machine, server: Server, certified: Callable[..., None]
) -> None:
    (machine.folder / "passphrase").write_text("four good words here\n")
    (machine.folder / "passphrase").chmod(0o600)
    sealed = ("--passphrase-file", "passphrase")
    machine.ok("ca", "init", "--env", "staging", *sealed)
    certified("bob", env="staging", sign=sealed)

    ours = machine.refused("upload", "report.txt", "--dir", "bob", "--to", server.url)
    assert "error:" in ours.err
    theirs = curl(machine, server, "--cert", "bob/bob.crt", "--key", "bob/bob.key")
    assert "unknown ca" in theirs.stderr
    logged(server, "unknown-ca")


def test_with_an_expired_certificate(machine: Machine, server: Server) -> None:
    machine.ok("csr", "late", "--dir", "late")
    machine.ok("ca", "sign", "late/late.csr", "--lifetime", "2s")
    deadline = time.monotonic() + PATIENCE
    while "good" in machine.ok("ca", "list", "--name", "late").out and time.monotonic() < deadline:
        time.sleep(0.1)
    refused = machine.refused("upload", "report.txt", "--dir", "late", "--to", server.url)
    assert "expired" in refused.err
    assert "keystead csr" in refused.err
    logged(server, "expired")


def test_with_a_revoked_certificate(machine: Machine, server: Server, certified: Callable[..., None]) -> None:
    certified("alice")
    machine.ok("upload", "report.txt", "--dir", "alice", "--to", server.url)
    machine.ok("ca", "revoke", "alice", "--reason", "keyCompromise")
    shutil.copy(machine.folder / ".keystead/dev/crl.pem", machine.folder / "server/crl.pem")
    deadline = time.monotonic() + PATIENCE
    while machine.run("ls", "--dir", "alice", "--to", server.url).code == 0:
        assert time.monotonic() < deadline, "the revocation is not in force"
        time.sleep(0.1)
    refused = machine.refused("upload", "report.txt", "--dir", "alice", "--to", server.url)
    assert "revoked" in refused.err
    logged(server, "revoked")


def test_a_server_under_a_name_that_its_certificate_lacks(
    machine: Machine, certified: Callable[..., None]
) -> None:
    certified("files", profile="server", sign=("--san", "files.example.org"))
    certified("alice")
    (machine.folder / "report.txt").write_text("numbers")
    with machine.serving("--dir", "files") as elsewhere:
        refused = machine.refused("upload", "report.txt", "--dir", "alice", "--to", elsewhere.url)
    assert "localhost" in refused.err
    assert "files.example.org" in refused.err
    assert "--san" in refused.err


def test_a_client_is_no_server(machine: Machine, certified: Callable[..., None]) -> None:
    certified("alice")
    refused = machine.refused("serve", "--dir", "alice")
    assert "server" in refused.err


def test_nothing_is_served_without_a_revocation_list(
    machine: Machine, certified: Callable[..., None]
) -> None:
    certified("server", profile="server")
    (machine.folder / "server/crl.pem").unlink()
    refused = machine.refused("serve", "--dir", "server", "--listen", "localhost:0")
    assert "keystead ca crl" in refused.err
