"""Commands that are killed with SIGKILL: at a random instant, or exactly before one of their system calls."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.e2e.conftest import KEYSTEAD, PATIENCE, Machine
from tests.programs import program

_CHANGES = (
    "rename",
    "renameat",
    "renameat2",
    "linkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "mkdir",
    "fsync",
    "fdatasync",
    "sync",
    "ftruncate",
    "pwrite64",
    "write",
)
"""The system calls by which a command changes what lies on the disk, or says that it has."""

_BY_THE_CLOCK = 0.4
_DEADLINE = 10.0


@dataclass(frozen=True, order=True)
class Instant:
    """The moment before a command's system call ``call`` of that ``number``, counted from one."""

    call: str
    number: int


@cache
def strace() -> str:
    """The program; skipped with the reason where this machine lets nobody trace."""
    found = program("strace")
    tried = subprocess.run([found, "-o", "/dev/null", "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr.strip()}")
    return found


def instants_of(machine: Machine, *words: str) -> list[Instant]:
    """Run ``keystead WORDS`` to its end; the instants at which it can be killed, each once."""
    with tempfile.NamedTemporaryFile("r") as log:
        done = subprocess.run(
            [strace(), "-f", "--seccomp-bpf", "-qq", "-o", log.name, *_traced(_CHANGES), KEYSTEAD, *words],
            cwd=machine.folder,
            env=machine.environment(PYTHONDONTWRITEBYTECODE="1"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        calls = Counter(re.findall(r"^(\d+) +(\w+)\(", log.read(), re.MULTILINE))
    longest: dict[str, int] = {}
    for (_, call), count in calls.items():
        longest[call] = max(count, longest.get(call, 0))
    return [Instant(call, number) for call in sorted(longest) for number in range(1, longest[call] + 1)]


def _traced(calls: tuple[str, ...]) -> tuple[str, str]:
    return "-e", f"trace={','.join(f'?{call}' for call in calls)}"


def kill_at(machine: Machine, instant: Instant, *words: str) -> bool:
    """Run ``keystead WORDS`` until just before ``instant``; whether it came to that."""
    print(f"killed before {instant.call} number {instant.number}")
    done = subprocess.run(
        [
            strace(), "-f", "-qq", "-o", "/dev/null",  # with --seccomp-bpf it injects no signal
            *_traced((instant.call,)),
            "-e", f"inject={instant.call}:signal=KILL:when={instant.number}",
            KEYSTEAD, *words,
        ],
        cwd=machine.folder,
        env=machine.environment(PYTHONDONTWRITEBYTECODE="1"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode in {-signal.SIGKILL, 128 + signal.SIGKILL}


def kill_after(machine: Machine, seconds: float, *words: str) -> bool:
    """Run ``keystead WORDS`` for ``seconds`` at most; whether it had to be killed."""
    print(f"killed after {seconds:.4f} s")
    with subprocess.Popen(
        [KEYSTEAD, *words],
        cwd=machine.folder,
        env=machine.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        return process.wait(PATIENCE) == -signal.SIGKILL


@dataclass(frozen=True)
class Course:
    """What is known of a command that runs undisturbed: how long it takes, and its instants."""

    seconds: float
    instants: tuple[Instant, ...]


def course_of(machine: Machine, *words: str) -> Course:
    """Run ``keystead WORDS`` once under strace; what came of it is as if it had run as ever."""
    began = time.monotonic()
    instants = instants_of(machine, *words)
    return Course(time.monotonic() - began, tuple(instants))


def kill(machine: Machine, course: Course, chance: random.Random, *words: str) -> bool:
    """Kill ``keystead WORDS`` at a moment that ``chance`` chooses, by the clock or by a system call."""
    if chance.random() < _BY_THE_CLOCK:
        was_killed = kill_after(machine, chance.uniform(0.02, course.seconds), *words)
    else:
        call = chance.choice(sorted({instant.call for instant in course.instants}))  # the rare ones too
        instant = chance.choice([instant for instant in course.instants if instant.call == call])
        was_killed = kill_at(machine, instant, *words)
    print("it was killed" if was_killed else "it had ended")
    return was_killed


def assert_nobody_is_left(folder: Path) -> None:
    """No process whose command names ``folder`` runs on, after a moment in which it may notice."""
    deadline = time.monotonic() + _DEADLINE
    while left := _processes_of(folder):
        assert time.monotonic() < deadline, f"processes were left behind: {left}"
        time.sleep(0.01)


def _processes_of(folder: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found
