"""Server and client are killed in mid-upload: a file is there whole, or not at all."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest

from tests.crashes.soundness import assert_no_strays
from tests.e2e.conftest import KEYSTEAD, PATIENCE, Machine, Server
from tests.rounds import Rounds, in_sample_and_soak

MIB = 1024 * 1024
SIZE = 24 * MIB


@pytest.fixture
def uploads(machine: Machine, home: Path) -> Path:
    """Where the server of folder ``server`` keeps what alice sends it; both are ready."""
    for name, profile in (("server", "server"), ("alice", "client")):
        machine.ok("csr", name, "--profile", profile, "--dir", name)
        machine.ok(
            "ca", "sign", f"{name}/{name}.csr", "--profile", profile, "--out", "out", "--home", str(home)
        )
        machine.ok("install", f"out/{name}.pem", "--dir", name)
    return machine.folder / "uploads" / "client" / "alice"


def serve(*words: str) -> tuple[str, ...]:
    return "--dir", "server", "--uploads", "uploads", "--keep-free", "0", *words


def sending(machine: Machine, server: Server, path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [KEYSTEAD, "upload", str(path), "--dir", "alice", "--to", server.url],
        cwd=machine.folder,
        env=machine.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def file_of(machine: Machine, chance: random.Random) -> Path:
    path = machine.folder / "file.bin"
    path.write_bytes(chance.randbytes(MIB) * (SIZE // MIB))
    return path


def assert_whole_or_absent(place: Path, *wanted: bytes) -> bool:
    """Whether the file is there; what is visible of it is one of ``wanted``."""
    if not place.exists():
        return False
    assert place.read_bytes() in wanted
    return True


@in_sample_and_soak
def test_a_killed_server_leaves_whole_files_and_the_next_sweeps(
    machine: Machine, uploads: Path, rounds: Rounds
) -> None:
    previous = b""
    for chance in rounds.play(2):
        path = file_of(machine, chance)
        with machine.serving(*serve()) as server, sending(machine, server, path) as client:
            time.sleep(chance.uniform(0.1, 0.7))  # the instant of the kill, which chance chooses
            server.process.kill()
            server.process.wait(PATIENCE)
            _, said = client.communicate(timeout=PATIENCE)
        assert b"Traceback" not in said, said
        assert client.returncode in {0, 1}
        was_kept = assert_whole_or_absent(uploads / path.name, path.read_bytes(), previous)
        if client.returncode == 0:
            assert was_kept
            assert (uploads / path.name).read_bytes() == path.read_bytes()
        with machine.serving(*serve()) as server:
            if uploads.exists():
                assert_no_strays(uploads)
            machine.ok("upload", str(path), "--dir", "alice", "--to", server.url)
        previous = path.read_bytes()
        assert (uploads / path.name).read_bytes() == previous
        assert_no_strays(uploads)


@in_sample_and_soak
def test_a_killed_client_leaves_nothing_of_its_file(machine: Machine, uploads: Path, rounds: Rounds) -> None:
    with machine.serving(*serve()) as server:
        for chance in rounds.play(2):
            path = file_of(machine, chance)
            with sending(machine, server, path) as client:
                time.sleep(chance.uniform(0.1, 0.6))  # the instant of the kill, which chance chooses
                client.kill()
                client.communicate(timeout=PATIENCE)
            _wait_until_swept(uploads)
            assert_whole_or_absent(uploads / path.name, path.read_bytes())
            machine.ok("upload", str(path), "--dir", "alice", "--to", server.url)
            assert (uploads / path.name).read_bytes() == path.read_bytes()
            assert_no_strays(uploads)
            (uploads / path.name).unlink()


def _wait_until_swept(uploads: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while uploads.exists() and list(uploads.glob(".incoming-*")):
        assert time.monotonic() < deadline, "what a killed client sent stays"
        time.sleep(0.01)
