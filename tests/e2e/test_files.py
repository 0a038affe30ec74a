"""The file server as other people's curl sees it, and large files through our own client in little memory."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import KEYSTEAD, PATIENCE, Machine, Server

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("dev_ca")]

LARGE = 400 * 1024 * 1024
MEBIBYTE = 1024
"""In KiB, the unit of the kernel's peaks."""


@pytest.fixture
def server(machine: Machine, certified: Callable[..., None]) -> Iterator[Server]:
    certified("server", profile="server")
    certified("alice")
    with machine.serving("--dir", "server", "--max-file", "1g", "--keep-free", "1") as running:
        yield running


def curl(machine: Machine, server: Server, path: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    """curl as alice."""
    identity = ("--cacert", "alice/ca.crt", "--cert", "alice/alice.crt", "--key", "alice/alice.key")
    return subprocess.run(
        ["curl", "-sS", *identity, *words, server.url + path],
        cwd=machine.folder,
        capture_output=True,
        timeout=PATIENCE,
    )


@pytest.mark.parametrize("size", [0, 5, 3_000_000])
def test_curl_uploads_lists_reads_and_deletes(machine: Machine, server: Server, size: int) -> None:
    content = os.urandom(size)
    (machine.folder / "f.bin").write_bytes(content)
    receipt = json.loads(curl(machine, server, "/files/", "-T", "f.bin").stdout)
    assert receipt == {"name": "f.bin", "size": size, "sha256": hashlib.sha256(content).hexdigest()}
    assert [entry["name"] for entry in json.loads(curl(machine, server, "/files/").stdout)] == ["f.bin"]
    assert curl(machine, server, "/files/f.bin").stdout == content
    assert curl(machine, server, "/files/f.bin", "-r", "1-3").stdout == (content[1:4] or b"") or not size
    assert curl(machine, server, "/files/f.bin", "-X", "DELETE").returncode == 0
    assert json.loads(curl(machine, server, "/files/").stdout) == []


def test_curl_is_told_at_once_that_a_file_is_too_large(machine: Machine, server: Server) -> None:
    with (machine.folder / "huge").open("wb") as file:
        file.truncate(2 << 30)
    answer = curl(machine, server, "/files/", "-T", "huge", "-w", "\n%{http_code} %{size_upload}")
    body, _, numbers = answer.stdout.decode().rpartition("\n")
    status, sent = numbers.split()
    assert status == "413"
    assert int(sent) < 1_000_000
    assert json.loads(body)["title"] == "the file is too large"


def test_an_upload_of_a_name_that_climbs_is_refused(machine: Machine, server: Server) -> None:
    (machine.folder / "f").write_bytes(b"x")
    for path in ("/files/..%2f..%2fevil", "/files/%2e%2e", "/files/a%00b"):
        answer = curl(machine, server, path, "--path-as-is", "-T", "f", "-w", "\n%{http_code}")
        assert answer.stdout.endswith(b"\n400")
    assert not list(machine.folder.rglob("evil"))


def test_a_large_file_takes_little_memory_on_both_sides(machine: Machine, server: Server) -> None:
    with (machine.folder / "large").open("wb") as file:
        file.truncate(LARGE)
    client = _peak(machine, "upload", "large", "--dir", "alice", "--to", server.url)
    back = _peak(machine, "get", "large", "--dir", "alice", "--out", "back", "--to", server.url)
    assert client < 120 * MEBIBYTE
    assert back < 120 * MEBIBYTE
    assert _peak_of(server.process.pid) < 160 * MEBIBYTE
    assert (machine.folder / "back/large").stat().st_size == LARGE


def test_a_server_that_is_killed_in_mid_upload_leaves_nothing_to_be_seen(
    machine: Machine, certified: Callable[..., None]
) -> None:
    certified("server", profile="server")
    certified("alice")
    with (
        machine.serving("--dir", "server") as server,
        subprocess.Popen(
            [
                *("curl", "-sS", "--limit-rate", "100k", "--cacert", "alice/ca.crt", "-T", "-"),
                *("--cert", "alice/alice.crt", "--key", "alice/alice.key", f"{server.url}/files/f"),
            ],
            cwd=machine.folder,
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as sender,
    ):
        assert sender.stdin is not None
        sender.stdin.write(b"x" * 100_000)
        sender.stdin.flush()
        _wait_for(machine.folder / "server/uploads", ".incoming-*")
        server.process.kill()
        sender.kill()
    with machine.serving("--dir", "server") as server:
        assert json.loads(machine.ok("ls", "--json", "--dir", "alice", "--to", server.url).out) == []
    assert not list((machine.folder / "server/uploads").rglob(".incoming-*"))


def _wait_for(folder: Path, pattern: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not list(folder.rglob(pattern)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _peak(machine: Machine, *words: str) -> int:
    """The peak of resident memory of a command, in KiB."""
    code = (
        "import os, subprocess, sys, resource;"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode;"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, KEYSTEAD, *words],
        cwd=machine.folder,
        env=machine.environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def _peak_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
