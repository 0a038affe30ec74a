"""The installed command, run as a person would: each test has machines of its own, which are folders."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

KEYSTEAD = str(Path(sys.executable).with_name("keystead"))
PATIENCE = 60.0
"""Seconds until a command that hangs is a failed test."""


@dataclass(frozen=True)
class Ran:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All that it printed."""
        return self.out + self.err


class Process(Protocol):
    """A command that runs: what a test asks of it is what `subprocess.Popen` has."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """How it ended; raises `subprocess.TimeoutExpired` where it has not ended in time."""
        ...

    def send_signal(self, sig: int) -> None:
        """Send it a signal; nothing where it has ended."""
        ...

    def kill(self) -> None:
        """Send it SIGKILL."""
        ...


@dataclass(frozen=True)
class Server:
    """A `keystead serve` that runs, where it listens, and where its log goes."""

    port: int
    log: Path
    process: Process

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"https://localhost:{self.port}"


@dataclass(frozen=True)
class Machine:
    """A folder in which commands run, with a home of its own and nothing of this shell's KEYSTEAD_*."""

    folder: Path

    def environment(self, **extra: str) -> dict[str, str]:
        """What a command finds in its environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KEYSTEAD_")}
        kept.pop("CREDENTIALS_DIRECTORY", None)
        return kept | {"HOME": str(self.folder)} | extra

    def run(self, *words: str, stdin: str | None = None, cwd: str = ".", **extra: str) -> Ran:
        """Run ``keystead WORDS`` to its end. ``extra`` is added to the environment."""
        done = subprocess.run(
            [KEYSTEAD, *words],
            cwd=self.folder / cwd,
            env=self.environment(**extra),
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        ran = Ran(done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in ran.text, ran.text
        return ran

    def ok(self, *words: str, **extra: str) -> Ran:
        """Run a command that must succeed."""
        ran = self.run(*words, **extra)
        assert ran.code == 0, f"keystead {' '.join(words)}\n{ran.text}"
        return ran

    def refused(self, *words: str, **extra: str) -> Ran:
        """Run a command that must fail, with a reason and a mend."""
        ran = self.run(*words, **extra)
        assert ran.code == 1, f"keystead {' '.join(words)}\n{ran.text}"
        assert "error:" in ran.err, ran.text
        return ran

    def start(
        self,
        *words: str,
        out: Path = Path(os.devnull),
        err: Path = Path(os.devnull),
        tracer: Sequence[str] = (),
        **extra: str,
    ) -> Process:
        """Begin ``keystead WORDS``, which prints into files; ``tracer`` is a command that it is run under."""
        with out.open("wb") as printed, err.open("wb") as said:
            return subprocess.Popen(
                [*tracer, KEYSTEAD, *words],
                cwd=self.folder,
                env=self.environment(**extra),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=said,
            )

    @contextmanager
    def serving(self, *words: str, listen: str = "localhost:0") -> Iterator[Server]:
        """Run ``keystead serve WORDS``, on a free port if none is named, for the time of the body."""
        out, log = self.folder / "serve.out", self.folder / "serve.log"
        process = self.start("serve", "--listen", listen, *words, out=out, err=log)
        try:
            yield Server(_port(process, out, log), log, process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)


def _port(process: Process, out: Path, log: Path) -> int:
    deadline = time.monotonic() + PATIENCE
    while not (found := re.search(r"https://localhost:(\d+)\b.*\n", out.read_text())):
        assert time.monotonic() < deadline, f"keystead serve does not listen:\n{log.read_text()}"
        try:
            code = process.wait(0.01)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"keystead serve ended with {code}:\n{log.read_text()}")
    return int(found[1])


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One machine for all roles."""
    return Machine(tmp_path)


@pytest.fixture
def certified(machine: Machine) -> Callable[..., None]:
    """A function that makes, signs and installs an identity: ``certified("alice")`` into folder alice."""

    def make(name: str, *, profile: str = "client", env: str = "dev", sign: tuple[str, ...] = ()) -> None:
        machine.ok("csr", name, "--profile", profile, "--dir", name)
        machine.ok(
            "ca",
            "sign",
            f"{name}/{name}.csr",
            "--profile",
            profile,
            "--env",
            env,
            "--out",
            f"outbox/{env}",
            *sign,
        )
        machine.ok("install", f"outbox/{env}/{name}.pem", "--dir", name)

    return make


@pytest.fixture
def dev_ca(machine: Machine) -> None:
    """A CA of the environment dev, its keys unsealed."""
    machine.ok("ca", "init", "--no-passphrase")
