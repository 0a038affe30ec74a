"""A worker as the supervisor sees it: a process, and the channel to it.

Not here: when one is started or stopped (`web.supervisor`), and what goes over the channel (`web.orders`).
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from socket import socketpair
from subprocess import DEVNULL

from keystead.errors import KeysteadError, Unavailable
from keystead.web.orders import MAX_REPORT, Command, Failed, Order, Ready, Stopped, read_report, write_order

_LAST_SECONDS = 5.0
"""For one that cannot start, to end by itself."""


class WorkerProcess:
    """One that was started; `wait_until_ready`, then `wait_until_ended`."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reports: asyncio.StreamReader,
        commands: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reports = reports
        self._commands = commands
        self._is_ready = False
        self.error: KeysteadError | None = None
        """Why it could not start or go on, as it said."""
        self.cut = 0
        """Requests that it did not finish, as it said at its end."""

    @classmethod
    async def start(cls, order: Order) -> WorkerProcess:
        """Start one by exec; raises `Unavailable` where the system has no room for it."""
        ours, theirs = socketpair()
        with theirs:
            inherited = (theirs.fileno(), *order.sockets, order.memory, *order.wakes, order.log)
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "keystead.web.worker", str(theirs.fileno())),
                    stdin=DEVNULL,
                    pass_fds=inherited,
                    process_group=0,  # what is typed at the terminal (Ctrl-C) is the supervisor's to hear
                )
            except OSError as error:
                ours.close()
                raise Unavailable("a worker could not be started", why=error.strerror or str(error)) from None
        reports, commands = await asyncio.open_connection(sock=ours, limit=MAX_REPORT)
        commands.write(write_order(order))
        return cls(process, reports, commands)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def wait_until_ready(self) -> None:
        """Return once it accepts connections; raises the `KeysteadError` for which it cannot."""
        try:
            self._is_ready = isinstance(await self._next_report(), Ready)
        except asyncio.CancelledError:
            self.kill()
            await self.wait_until_ended()
            raise
        if not self._is_ready:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _LAST_SECONDS)
            self.kill()
            how = await self.wait_until_ended()
            raise self.error or Unavailable("a worker ended before it was ready", why=how)

    async def wait_until_ended(self) -> str:
        """Return once it is gone: how it ended, in words."""
        while await self._next_report() is not None:
            pass
        code = await self._process.wait()
        self._commands.close()
        return f"killed by {_signal_name(-code)}" if code < 0 else f"exit code {code}"

    def stop(self) -> None:
        """Have it finish what runs; one that is not ready has nothing to finish."""
        if self._is_ready:
            self._commands.write(Command.STOP.value)
        else:
            self.kill()

    def hurry(self) -> None:
        """Have it cut what runs."""
        self._commands.write(Command.HURRY.value)

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def _next_report(self) -> Ready | Failed | Stopped | None:
        try:
            report = read_report(await self._reports.readline())
        except (ValueError, ConnectionError):  # ValueError: a line beyond all bounds
            return None
        if isinstance(report, Failed):
            self.error = report.error
        if isinstance(report, Stopped):
            self.cut = report.cut
        return report


def _signal_name(number: int) -> str:
    """Of the real-time signals only the first and the last have one."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
