"""Several processes behind one door: the supervisor binds, starts workers, keeps them running, stops them.

It serves nobody itself and holds no connection. Not here: what a worker does (`web.worker`), what they share
(`web.shared`).
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from socket import socket
from typing import Any, TextIO

from keystead.errors import KeysteadError
from keystead.web.limits import Limits
from keystead.web.listeners import Address, address_of, bind
from keystead.web.log import ServerLog
from keystead.web.orders import Make, Order
from keystead.web.process import WorkerProcess
from keystead.web.shared import Memory, SharedStream

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 30.0
_STEADY_SECONDS = 60.0
"""Before a worker that ended is started again: twice as long each time, unless it had run so long."""

_LAST_SECONDS = 6.0
"""For the workers' end beyond ``stop_seconds``, a little longer than they give themselves; then SIGKILL."""


def serve_many(
    make: Make,
    *,
    workers: int,
    listen: Sequence[str],
    limits: Limits,
    log: TextIO,
    on_ready: Callable[[tuple[Address, ...]], None],
) -> None:
    """Serve from ``workers`` processes until SIGTERM or SIGINT, which end them as they end `server.serve`.

    ``make`` is called in each of them, and pickled by name. ``log`` must be a file of the system: each of
    them writes to its descriptor. ``on_ready`` is called once, when all accept connections. Raises the
    `KeysteadError` of the first that cannot start.
    """
    with ExitStack() as opened:
        sockets = bind(listen)
        for sock in sockets:
            opened.callback(sock.close)
        memory = Memory.create(workers)
        opened.callback(os.close, memory.descriptor)
        wakes = tuple(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(workers))
        for wake in wakes:
            opened.callback(os.close, wake)
        descriptor = os.dup(log.fileno())
        opened.callback(os.close, descriptor)
        order = Order(
            worker=0,
            workers=workers,
            make=make,
            limits=limits,
            sockets=tuple(sock.fileno() for sock in sockets),
            memory=memory.descriptor,
            wakes=wakes,
            log=descriptor,
        )
        asyncio.run(Supervisor(order, sockets, memory).run(on_ready))


class Supervisor:
    """The workers of one door; ``order`` is what each is told, but for its number."""

    def __init__(self, order: Order, sockets: Sequence[socket], memory: Memory) -> None:
        self._order = order
        self._sockets = sockets
        self._memory = memory
        self._log = ServerLog(SharedStream(order.log, memory.writing))
        self._running: dict[int, WorkerProcess] = {}
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._cut = 0

    async def run(self, on_ready: Callable[[tuple[Address, ...]], None]) -> None:
        """Serve until told to stop; raises the `KeysteadError` of the first worker that cannot start."""
        addresses = tuple(map(address_of, self._sockets))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        try:
            await self._start_all()
        except KeysteadError:
            if not self._stop.is_set():
                raise
        else:
            if not self._stop.is_set():
                self._log.started(addresses, workers=self._order.workers)
                on_ready(addresses)
            await self._keep_all()
        self._log.stopped(self._cut)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
            return
        self._stop.set()
        for sock in self._sockets:  # lest somebody queue where nobody accepts any more
            sock.close()
        for process in self._running.values():
            process.stop()

    async def _start_all(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for worker in range(self._order.workers):
                    group.create_task(self._start(worker))
        except ExceptionGroup as failed:
            await self._kill_all()
            raise failed.exceptions[0] from None  # told once, though it may be the same for all

    async def _start(self, worker: int) -> WorkerProcess:
        process = await WorkerProcess.start(replace(self._order, worker=worker))
        self._running[worker] = process
        if self._stop.is_set():
            process.stop()
        try:
            await process.wait_until_ready()
        except BaseException:
            del self._running[worker]
            raise
        self._log.event("worker-started", worker=worker + 1, pid=process.pid)
        return process

    async def _keep_all(self) -> None:
        """Keep the workers running until told to stop, and wait for their end as long as they are given."""
        keepers = asyncio.gather(*map(self._keep, range(self._order.workers)))
        await _until(self._stop, keepers)
        await _until(self._hurry, keepers, self._order.limits.stop_seconds + _LAST_SECONDS)
        if self._hurry.is_set():
            for process in self._running.values():
                process.hurry()
            await asyncio.wait((keepers,), timeout=_LAST_SECONDS)
        for process in self._running.values():
            process.kill()
        await keepers

    async def _keep(self, worker: int) -> None:
        """Have the worker run until told to stop, started again whenever it ends."""
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE
        while True:
            begun = loop.time()
            how, error = await self._run_to_its_end(worker)
            self._memory.clear(worker)
            if self._stop.is_set():
                return
            if loop.time() - begun > _STEADY_SECONDS:
                pause = _FIRST_PAUSE
            self._log.worker_ended(worker + 1, how, error, again_in_seconds=pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            if self._stop.is_set():
                return
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _run_to_its_end(self, worker: int) -> tuple[str, KeysteadError | None]:
        """Wait for the end of the worker, which is started unless it runs: how it came, and why, if told."""
        try:
            process = self._running.get(worker) or await self._start(worker)
        except KeysteadError as error:
            return "could not start", error
        how = await process.wait_until_ended()
        del self._running[worker]
        self._cut += process.cut
        return how, process.error

    async def _kill_all(self) -> None:
        for process in self._running.values():
            process.kill()
        await asyncio.gather(*(process.wait_until_ended() for process in self._running.values()))
        self._running.clear()


async def _until(event: asyncio.Event, work: asyncio.Future[Any], timeout: float | None = None) -> None:
    """Return once ``event`` is set, ``work`` is done, or ``timeout`` seconds have passed."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait((waiting, work), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
