"""Commands that are killed with SIGKILL: at a random instant, or exactly before one of their system calls."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.crashes.forking import ForkingMachine
from tests.crashes.making import copied
from tests.e2e.conftest import PATIENCE, Machine
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

_BY_THE_CLOCK = 0.5
_TWICE = 0.2
_DEADLINE = 10.0


@dataclass(frozen=True, order=True)
class Instant:
    """The moment before a command's system call ``call`` of that ``number``, counted from one."""

    call: str
    number: int


@dataclass(frozen=True)
class Course:
    """What is known of a command that runs undisturbed: how long it takes, and its instants."""

    seconds: float
    instants: tuple[Instant, ...]


def course_of(machine: Machine, *words: str) -> Course:
    """What ``keystead WORDS`` does on this machine; learnt on copies of it.

    The instants are counted where the command is forked: its start changes nothing on the disk.
    """
    forking = ForkingMachine(machine.folder)
    with copied(forking) as other:
        instants = instants_of(other, *words)
    with copied(machine) as other:
        began = time.monotonic()
        other.ok(*words)
        return Course(time.monotonic() - began, tuple(instants))


def kill(machine: Machine, course: Course, chance: random.Random, *words: str) -> None:
    """Kill ``keystead WORDS`` at a moment that ``chance`` chooses, by the clock or by a system call.

    Now and then the next run, which would mend what the first has left, is killed too. What was killed is
    printed, which `pytest_terminal_summary` counts in a soak; a command that has ended before is not.
    """
    for _ in range(2 if chance.random() < _TWICE else 1):
        if chance.random() < _BY_THE_CLOCK:
            kill_after(machine, chance.uniform(0, course.seconds), *words)
        else:
            call = chance.choice(sorted({instant.call for instant in course.instants}))  # the rare ones too
            kill_at(machine, chance.choice([it for it in course.instants if it.call == call]), *words)


def kill_after(machine: Machine, seconds: float, *words: str) -> bool:
    """Run ``keystead WORDS`` for ``seconds`` at most; whether it had to be killed."""
    process = machine.start(*words)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    was_killed = process.wait(PATIENCE) == -signal.SIGKILL
    print(
        f"killed by the clock, after {seconds:.4f} s" if was_killed else f"it took less than {seconds:.4f} s"
    )
    return was_killed


def kill_at(machine: Machine, instant: Instant, *words: str) -> bool:
    """Run ``keystead WORDS`` until just before ``instant``; whether it, or a worker of it, came to that."""
    with tempfile.NamedTemporaryFile("r") as said, tempfile.NamedTemporaryFile("r") as log:
        injection = f"inject={instant.call}:signal=KILL:when={instant.number}"
        tracer = strace(log.name, (instant.call,), "-e", injection)  # --seccomp-bpf injects no signal
        machine.start(*words, err=Path(said.name), tracer=tracer).wait(PATIENCE)
        was_killed = "+++ killed by SIGKILL +++" in log.read()
        assert "Traceback" not in (text := said.read()), text
    what = f"{instant.call} number {instant.number}"
    print(f"killed exactly before {what}" if was_killed else f"it did not come to {what}")
    return was_killed


def instants_of(machine: Machine, *words: str) -> list[Instant]:
    """Run ``keystead WORDS`` to its end; the instants at which it can be killed, each once."""
    with tempfile.NamedTemporaryFile("r") as said, tempfile.NamedTemporaryFile("r") as log:
        tracer = strace(log.name, _CHANGES)
        code = machine.start(*words, err=Path(said.name), tracer=tracer).wait(PATIENCE)
        assert code == 0, said.read()
        calls = Counter(re.findall(r"^(\d+) +(\w+)\(", log.read(), re.MULTILINE))
    longest: dict[str, int] = {}
    for (_, call), count in calls.items():
        longest[call] = max(count, longest.get(call, 0))
    return [Instant(call, number) for call in sorted(longest) for number in range(1, longest[call] + 1)]


def strace(log: str, calls: Sequence[str], *more: str) -> list[str]:
    """The command to trace ``calls`` by; skipped with the reason where this machine lets nobody trace."""
    return [_strace(), "-f", "-qq", "-o", log, "-e", f"trace={','.join(f'?{call}' for call in calls)}", *more]


@cache
def _strace() -> str:
    found = program("strace")
    tried = subprocess.run([found, "-o", "/dev/null", "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr.strip()}")
    return found


def assert_nobody_is_left(machine: Machine) -> None:
    """No command of this machine runs on, after a moment in which its workers may notice."""
    deadline = time.monotonic() + _DEADLINE
    while left := _processes_in(machine.folder):
        assert time.monotonic() < deadline, f"processes were left behind: {left}"
        time.sleep(0.005)


def _processes_in(folder: Path) -> list[Path]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.joinpath("cwd").readlink() == folder:
                found.append(process)
        except OSError:
            continue
    return found
