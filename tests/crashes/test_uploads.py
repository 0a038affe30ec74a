"""Server and client are killed in mid-transfer: a file is whole or not there, and the next run goes on."""

from __future__ import annotations

import fcntl
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

from tests.crashes.soundness import assert_no_strays
from tests.e2e.conftest import PATIENCE, Machine, Process, Server
from tests.rounds import Rounds, in_sample_and_soak

MIB = 1024 * 1024
SMALL, LARGE = 4 * MIB, 16 * MIB
"""Sizes of files that are sent whole each time, and of those that are gone on with."""

SERVE = "--dir", "server", "--uploads", "uploads", "--keep-free", "0"


@pytest.fixture
def machine(certified: Machine) -> Machine:
    """Server and client, ready."""
    return certified


@pytest.fixture
def uploads(machine: Machine) -> Path:
    """Where the server keeps what alice sends it."""
    return machine.folder / "uploads" / "client" / "alice"


def upload(server: Server) -> tuple[str, ...]:
    return "upload", "file.bin", "--dir", "alice", "--to", server.url


def get(server: Server) -> tuple[str, ...]:
    return "get", "file.bin", "--out", "fetched", "--dir", "alice", "--to", server.url


def write_file(machine: Machine, chance: random.Random, size: int) -> bytes:
    data = chance.randbytes(MIB) * (size // MIB)
    (machine.folder / "file.bin").write_bytes(data)
    return data


def seconds_of(machine: Machine, *words: str) -> float:
    """How long a transfer takes that nobody disturbs."""
    began = time.monotonic()
    machine.ok(*words)
    return time.monotonic() - began


@contextmanager
def begun(machine: Machine, *words: str) -> Iterator[Process]:
    """A client at work, which must not end with a traceback."""
    with NamedTemporaryFile("r") as said:
        process = machine.start(*words, err=Path(said.name))
        yield process
        process.wait(PATIENCE)
        assert "Traceback" not in (text := said.read()), text


def kill_after(process: Process, seconds: float) -> None:
    time.sleep(seconds)  # the instant of the kill, which chance chooses
    process.kill()
    print(f"killed after {seconds:.4f} s" if process.wait(PATIENCE) < 0 else "it had ended")


def unfinished(uploads: Path) -> list[Path]:
    """The parts of files that the server keeps for their senders to go on with.

    An empty one of which nothing is noted yet is none: what a kill leaves there is swept when it expires.
    """
    parts = list(uploads.glob(".uploads/*.data"))
    return [part for part in parts if part.with_suffix(".json").exists() or part.stat().st_size]


def assert_whole_or_absent(path: Path, *wanted: bytes) -> None:
    """What is visible of the file is one of ``wanted``."""
    assert not path.exists() or path.read_bytes() in wanted


@in_sample_and_soak
def test_a_client_goes_on_with_the_next_server_where_one_was_killed(
    machine: Machine, uploads: Path, rounds: Rounds
) -> None:
    before = write_file(machine, random.Random(0), LARGE)
    with machine.serving(*SERVE) as server:
        seconds = seconds_of(machine, *upload(server))
    for chance in rounds.play(2):
        data = write_file(machine, chance, chance.choice((SMALL, LARGE, LARGE)))
        with machine.serving(*SERVE) as server, begun(machine, *upload(server)) as client:
            kill_after(server.process, chance.uniform(0, seconds))
            assert_whole_or_absent(uploads / "file.bin", before, data)
            with machine.serving(*SERVE, listen=f"localhost:{server.port}") as after:
                if client.wait(PATIENCE) != 0:  # it had not begun, and found nobody
                    machine.ok(*upload(after))
                assert (uploads / "file.bin").read_bytes() == data
                assert unfinished(uploads) == []
                assert_no_strays(uploads)
        before = data


@in_sample_and_soak
def test_a_small_upload_of_a_killed_client_leaves_nothing(
    machine: Machine, uploads: Path, rounds: Rounds
) -> None:
    with machine.serving(*SERVE) as server:
        before = write_file(machine, random.Random(0), SMALL)
        seconds = seconds_of(machine, *upload(server))
        for chance in rounds.play(1):
            data = write_file(machine, chance, SMALL)
            with begun(machine, *upload(server)) as client:
                kill_after(client, chance.uniform(0, seconds))
            _wait_until_swept(uploads)
            assert_whole_or_absent(uploads / "file.bin", before, data)
            machine.ok(*upload(server))
            assert (uploads / "file.bin").read_bytes() == data
            assert_no_strays(uploads)
            before = data


def _wait_until_swept(uploads: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while list(uploads.glob(".incoming-*")):
        assert time.monotonic() < deadline, "what a killed client sent stays"
        time.sleep(0.005)


@in_sample_and_soak
def test_a_large_upload_of_a_killed_client_is_gone_on_with(
    machine: Machine, uploads: Path, rounds: Rounds
) -> None:
    with machine.serving(*SERVE) as server:
        before = write_file(machine, random.Random(0), LARGE)
        seconds = seconds_of(machine, *upload(server))
        for chance in rounds.play(2):
            data = write_file(machine, chance, LARGE)
            with begun(machine, *upload(server)) as client:
                kill_after(client, chance.uniform(0, seconds))
            assert_whole_or_absent(uploads / "file.bin", before, data)
            parts = {number for part in unfinished(uploads) if (number := _once_let_go(part))}
            machine.ok(*upload(server))
            assert (uploads / "file.bin").read_bytes() == data
            assert not parts or (uploads / "file.bin").stat().st_ino in parts
            assert unfinished(uploads) == []
            assert_no_strays(uploads)
            before = data


def _once_let_go(part: Path) -> int | None:
    """Its inode number, once the server holds it no more; None where it had come whole, and is the file."""
    with part.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return part.stat().st_ino if part.exists() else None


@in_sample_and_soak
def test_a_fetch_of_a_killed_client_is_gone_on_with(machine: Machine, uploads: Path, rounds: Rounds) -> None:
    fetched = machine.folder / "fetched"
    with machine.serving(*SERVE) as server:
        data = write_file(machine, random.Random(0), LARGE)
        machine.ok(*upload(server))
        seconds = seconds_of(machine, *get(server))
        for chance in rounds.play(1):
            (fetched / "file.bin").unlink()
            with begun(machine, *get(server)) as client:
                kill_after(client, chance.uniform(0, seconds))
            assert_whole_or_absent(fetched / "file.bin", data)
            found = [part.stat() for part in fetched.glob(".*.part")]
            parts = {part.st_ino for part in found if part.st_size > 1}  # an empty one is begun anew
            if not (fetched / "file.bin").exists():
                machine.ok(*get(server))
            assert (fetched / "file.bin").read_bytes() == data
            assert not parts or (fetched / "file.bin").stat().st_ino in parts
            assert_no_strays(fetched)
