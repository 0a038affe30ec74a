"""A stage for real processes: runs `keystead` as a person would, in a folder whose folders are machines.

Not here: what is played on it (`demo`), and how it is printed (`cli.demo`).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any, Protocol

from keystead.errors import KeysteadError
from keystead.machine.secrets import CREDENTIALS_VARIABLE

PATIENCE = 60.0
"""Seconds until a command of ours that hangs is given up."""

_STOP_SECONDS = 10.0


class Narrator(Protocol):
    """Who tells the audience what happens."""

    def chapter(self, title: str) -> None:
        """A new part begins."""

    def typed(self, command: str) -> None:
        """This is what one would type."""

    def printed(self, text: str) -> None:
        """This is what it printed."""

    def remark(self, text: str) -> None:
        """This is what it means."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The explanation that it ended with: from ``error:`` on, or all of its standard error."""
        _, found, rest = self.err.rpartition("error: ")
        return (found + rest).strip() or self.err.strip()


@dataclass(frozen=True, slots=True)
class Server:
    """A `keystead serve` that runs."""

    port: int
    log: Path

    def refusals(self) -> list[Mapping[str, Any]]:
        """What its log says of refused handshakes and requests, oldest first."""
        told = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in told if line.get("code")]


class Stage:
    """Runs commands in ``folder``. Nothing of this shell's KEYSTEAD_* reaches them."""

    def __init__(self, folder: Path, narrator: Narrator) -> None:
        self.folder = folder
        self._narrator = narrator

    def keystead(self, *words: str, show: int = 0, environment: Mapping[str, str] | None = None) -> Ran:
        """Run ``keystead WORDS``, which must succeed; show ``show`` lines of what it did (-1: the last)."""
        ran = self._run(words, environment or {})
        if ran.code != 0:
            raise _went_wrong(words, ran)
        told = [line for line in ran.out.splitlines() if line.startswith("✓")]
        for line in told[show:] if show < 0 else told[:show]:
            self._narrator.printed(line)
        return ran

    def keystead_refused(self, *words: str, because: str) -> Ran:
        """Run ``keystead WORDS``, which must be refused ``because`` of something that its error names."""
        ran = self._run(words, {})
        if ran.code != 1 or because not in ran.err:
            raise _went_wrong(words, ran)
        for line in ran.error.splitlines():
            self._narrator.printed(line)
        return ran

    def keystead_seen(self, *words: str) -> None:
        """Run ``keystead WORDS``, which must succeed, on the audience's own terminal."""
        self._narrator.typed(_spell(words, {}))
        sys.stdout.flush()  # the command writes there itself
        code = subprocess.run(
            _command(words), cwd=self.folder, env=_environment({}), timeout=PATIENCE, check=False
        ).returncode
        if code != 0:
            raise _went_wrong(words, Ran(code, "", ""))

    def other(self, *words: str) -> Ran:
        """Run another program, whatever comes of it."""
        self._narrator.typed(" ".join(words))
        return _finished(list(words), self.folder, _environment({}))

    @contextmanager
    def serving(self, *words: str, log: str) -> Iterator[Server]:
        """Run ``keystead serve WORDS`` for the time of the body; it is stopped by its own process id."""
        command = ("serve", *words)
        self._narrator.typed(f"{_spell(command, {})} 2> {log} &")
        path = self.folder / log
        with (
            path.open("w") as stream,
            subprocess.Popen(
                _command(command),
                cwd=self.folder,
                env=_environment({}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
            ) as process,
        ):
            try:
                yield Server(_port(process, path), path)
            finally:
                process.send_signal(signal.SIGTERM)
                watchdog = Timer(_STOP_SECONDS, process.kill)
                watchdog.start()
                process.wait()
                watchdog.cancel()

    def _run(self, words: tuple[str, ...], environment: Mapping[str, str]) -> Ran:
        self._narrator.typed(_spell(words, environment))
        return _finished(_command(words), self.folder, _environment(environment))


def _command(words: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "keystead", *words]


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KEYSTEAD_")}
    kept.pop(CREDENTIALS_VARIABLE, None)
    return kept | dict(extra)


def _finished(command: list[str], folder: Path, environment: Mapping[str, str]) -> Ran:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def _spell(words: tuple[str, ...], environment: Mapping[str, str]) -> str:
    settings = "".join(f"{name}={value} " for name, value in environment.items())
    return f"{settings}keystead {' '.join(words)}"


def _port(process: subprocess.Popen[str], log: Path) -> int:
    assert process.stdout is not None
    watchdog = Timer(PATIENCE, process.kill)
    watchdog.start()
    try:
        for line in process.stdout:
            if found := re.search(r"https://localhost:(\d+)", line):
                return int(found[1])
    finally:
        watchdog.cancel()
    raise KeysteadError(
        "the demo's server did not start",
        why=log.read_text().strip()[-500:],
        mend="run it by hand, in the folder that --dir DIR keeps",
    )


def _went_wrong(words: tuple[str, ...], ran: Ran) -> KeysteadError:
    return KeysteadError(
        f"the demo did not go as it should: keystead {' '.join(words)} ended with {ran.code}",
        why=(ran.err or ran.out).strip()[-800:],
        mend="keep its files with --dir DIR and type the command there; then please report it",
    )
