"""The workflow that everything serves, through the installed command, on machines that share no folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import Machine

pytestmark = pytest.mark.slow


@pytest.fixture
def machines(tmp_path: Path) -> tuple[Machine, Machine, Machine]:
    """The CA's, the web server's and a client's."""
    for name in ("ca", "web", "laptop"):
        (tmp_path / name).mkdir()
    return Machine(tmp_path / "ca"), Machine(tmp_path / "web"), Machine(tmp_path / "laptop")


def scp(source: Path, target: Path) -> None:
    """What travels: never a key."""
    assert source.suffix in {".csr", ".pem"}
    shutil.copy(source, target)


def test_a_file_travels_over_mutual_tls_with_one_file_each_way(
    machines: tuple[Machine, Machine, Machine],
) -> None:
    ca, web, laptop = machines
    ca.ok("ca", "init", "--no-passphrase")
    for machine, name, profile in ((web, "server", "server"), (laptop, "alice", "client")):
        machine.ok("csr", name, "--profile", profile)
        scp(machine.folder / "certs" / f"{name}.csr", ca.folder)
        ca.ok("ca", "sign", f"{name}.csr", "--profile", profile)
        scp(ca.folder / f"{name}.pem", machine.folder)
        machine.ok("install", f"{name}.pem")
    content = os.urandom(3_000_000)
    (laptop.folder / "report.bin").write_bytes(content)

    with web.serving() as server:
        sent = laptop.ok("upload", "report.bin", "--to", server.url)
        listed = json.loads(laptop.ok("ls", "--json").out)
        laptop.ok("get", "report.bin", "--out", "back")

    assert hashlib.sha256(content).hexdigest() in sent.text
    assert [entry["name"] for entry in listed] == ["report.bin"]
    assert (laptop.folder / "back" / "report.bin").read_bytes() == content
    assert not list(ca.folder.rglob("alice.key"))
    assert not list(web.folder.rglob("alice.key"))
