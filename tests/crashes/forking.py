"""The command without its start-up: forked from a process that has imported all of it, and opened nothing.

Most of a short command's time goes into imports, where a kill proves nothing. Forked, it begins with its
work, so that a soak can play thousands of rounds, and each kill falls into what the command does. The sample
of `make test` runs the command as it is installed.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.e2e.conftest import PATIENCE, Machine, Process, Ran

_ORIGIN = multiprocessing.get_context("forkserver")
_ORIGIN.set_forkserver_preload(["__main__", "tests.crashes.imported"])  # __main__, for no child to import


class ForkingMachine(Machine):
    """A machine whose commands are forked, each with words, folder, environment and files of its own."""

    def run(self, *words: str, stdin: str | None = None, cwd: str = ".", **extra: str) -> Ran:
        """Run ``keystead WORDS`` to its end. Nothing can be given it to read."""
        assert stdin is None
        with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
            place = ForkingMachine(self.folder / cwd)
            environment = extra | {"HOME": str(self.folder)}
            process = place.start(*words, out=Path(out.name), err=Path(err.name), **environment)
            ran = Ran(process.wait(PATIENCE), out.read(), err.read())
        assert "Traceback" not in ran.text, ran.text
        return ran

    def start(
        self,
        *words: str,
        out: Path = Path(os.devnull),
        err: Path = Path(os.devnull),
        tracer: Sequence[str] = (),
        **extra: str,
    ) -> Process:
        """Begin ``keystead WORDS``; the ``tracer`` is attached before the command's first call."""
        for path in (out, err):
            path.open("wb").close()  # there from now on, whenever the command comes to it
        process = _ORIGIN.Process(
            target=_be_the_command,
            args=(words, self.folder, self.environment(**extra), out, err, bool(tracer)),
        )
        process.start()
        return Forked(process, [*tracer, "-p", str(process.pid)] if tracer else [])


class Forked:
    """A command that was forked, and whatever traces it."""

    def __init__(self, process: ForkServerProcess, tracer: Sequence[str]) -> None:
        assert process.pid is not None
        self.pid = process.pid
        self._process = process
        self._tracer = subprocess.Popen(tracer, stderr=subprocess.DEVNULL) if tracer else None

    def wait(self, timeout: float | None = None) -> int:
        """How it ended; raises `subprocess.TimeoutExpired` where it has not ended in time."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("keystead", timeout or 0)
        if self._tracer is not None:
            self._tracer.wait(PATIENCE)
        return self._process.exitcode

    def send_signal(self, sig: int) -> None:
        """Send it a signal; nothing where it has ended."""
        if self._process.exitcode is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self._process.kill()


def _be_the_command(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], out: Path, err: Path, is_traced: bool
) -> None:
    while is_traced and "TracerPid:\t0\n" in Path("/proc/self/status").read_text():
        time.sleep(0.0005)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
    sys.argv = ["keystead", *words]
    import_module("tests.crashes.imported").command()
