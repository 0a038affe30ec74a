"""One server on one event loop: our TLS transport, uvicorn's HTTP above it, and a graceful end.

Not here: processes and signals (`web.server`, `web.worker`), what is served (an ASGI app), and the material's
place on the disk (`tls.reloading`).
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from socket import socket
from weakref import WeakSet

from uvicorn.config import Config
from uvicorn.server import ServerState

from keystead.errors import Unavailable
from keystead.machine.clock import system_clock
from keystead.tls.acceptor import Acceptor, TransportLimits
from keystead.tls.capacity import Caps, Tally
from keystead.tls.contexts import Holder, InForce
from keystead.tls.crlurl import Remote
from keystead.tls.reloading import CredentialSource, Watcher, begin
from keystead.web.gate import App
from keystead.web.http import HttpProtocol, Services
from keystead.web.limits import Limits
from keystead.web.listeners import BACKLOG, Address, address_of
from keystead.web.log import ServerLog, uvicorn_logger
from keystead.web.visitor import Visitor

_LAST_WORDS_SECONDS = 0.5
"""At the end, for what was written to reach clients that do not close by themselves."""

_DESCRIPTORS = 8_192
"""Wanted: a connection and a file each, and some more."""


class Server:
    """One server on the running loop: `start` once, then `stop`.

    ``listening`` gives the sockets, once the material is known to be good. ``tally`` counts the connections
    where other processes serve beside this one.
    """

    def __init__(
        self,
        app: App,
        source: CredentialSource,
        *,
        listening: Callable[[], Sequence[socket]],
        limits: Limits,
        log: ServerLog,
        tally: Tally | None = None,
    ) -> None:
        self._app = app
        self._source = source
        self._listening = listening
        self._limits = limits
        self._log = log
        self._tally = tally
        self._logger = uvicorn_logger(self._log)
        self._state = ServerState()
        self._visitors: WeakSet[Visitor] = WeakSet()
        self._servers: list[asyncio.Server] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> tuple[Address, ...]:
        """Load, start the application, listen. Raises a `KeysteadError`, and then nothing is left behind."""
        loaded = begin(self._source, system_clock())
        self._holder = Holder(loaded.in_force)
        for warning in loaded.warnings:
            self._log.warning(warning)
        sockets = self._listening()
        try:
            await self._start_application()
            self._acceptor = self._make_acceptor()
            loop = asyncio.get_running_loop()
            for sock in sockets:
                self._servers.append(await loop.create_server(self._acceptor, sock=sock, backlog=BACKLOG))
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        watcher = Watcher(self._source, loaded.in_force, swap=self._swap, warn=self._log.warning)
        self._tasks = [asyncio.create_task(watcher.run()), asyncio.create_task(self._tick())]
        if self._source.remote is not None:
            self._tasks.append(asyncio.create_task(self._fetch_lists(self._source.remote)))
        return tuple(address_of(sock) for sock in sockets)

    def give_way(self) -> None:
        """Another process of the same tally is short of places: close half-open connections for it."""
        self._acceptor.capacity.give_way()

    async def stop(self, hurry: asyncio.Event | None = None) -> int:
        """Take nothing new, finish what runs within the limit (or until ``hurry``), cut the rest.

        How many requests were cut.
        """
        for server in self._servers:
            server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        deadline = time.monotonic() + self._limits.stop_seconds
        while self._is_busy() and time.monotonic() < deadline and not (hurry and hurry.is_set()):
            await asyncio.sleep(0.02)
        unfinished = len(self._state.tasks)
        await self._last_words()
        self._acceptor.abort_all()
        await self._cancel([*self._state.tasks, *self._tasks])
        await self._lifespan.shutdown()
        for server in self._servers:
            await server.wait_closed()
        return unfinished

    async def _start_application(self) -> None:
        self._config = Config(
            self._app,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=int(self._limits.head_seconds),
        )
        self._config.load()
        self._lifespan = self._config.lifespan_class(self._config)
        self._lifespan.logger = self._logger
        await self._lifespan.startup()
        if self._lifespan.should_exit:
            raise Unavailable("the application did not start", why="the lines above this one say more")

    def _make_acceptor(self) -> Acceptor:
        services = Services(
            config=self._config,
            state=self._state,
            app_state=self._lifespan.state,
            holder=self._holder,
            limits=self._limits,
            log=self._log,
            logger=self._logger,
            visitors=self._visitors,
        )
        self._set_date()
        return Acceptor(
            self._holder,
            lambda: HttpProtocol(services),
            self._log.refused,
            limits=TransportLimits(
                handshake_seconds=self._limits.handshake_seconds, stall_seconds=self._limits.stall_seconds
            ),
            caps=Caps(
                connections=self._limits.connections,
                per_address=self._limits.connections_per_address,
                handshakes=max(1, self._limits.connections // 2),
            ),
            tally=self._tally,
        )

    def _swap(self, in_force: InForce) -> None:
        """New connections get what is new; of the running ones only those that it objects to are cut."""
        self._holder.current = in_force
        cut = 0
        for visitor in tuple(self._visitors):
            objection = visitor.objection()
            if objection is not None:
                cut += 1
                visitor.cut(objection)
        self._log.event("reloaded", cut=cut, crl_numbers=_in_hex(in_force.crls.numbers()))

    async def _fetch_lists(self, remote: Remote) -> None:
        from keystead.tls.crlfetch import Fetcher  # noqa: PLC0415  h11, which only this needs

        await Fetcher(
            remote,
            self._source.crl,
            credentials=lambda: self._holder.current.credentials,
            fetched=lambda numbers: self._log.event(
                "crl-fetched", url=remote.url.text, crl_numbers=_in_hex(numbers)
            ),
            warn=self._log.warning,
            recovered=lambda: self._log.event("crl-recovered", url=remote.url.text),
        ).run()

    async def _tick(self) -> None:
        while True:
            self._set_date()
            await asyncio.sleep(1)

    def _set_date(self) -> None:
        self._state.default_headers = [(b"date", formatdate(time.time(), usegmt=True).encode("ascii"))]

    def _is_busy(self) -> bool:
        return bool(self._state.connections or self._state.tasks)

    async def _last_words(self) -> None:
        deadline = time.monotonic() + _LAST_WORDS_SECONDS
        while self._acceptor.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    @staticmethod
    async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _in_hex(numbers: Mapping[bytes, int]) -> dict[str, int]:
    return {issuer.hex(): number for issuer, number in numbers.items()}


def raise_descriptor_limit() -> None:
    """As far as the system lets us: the customary 1,024 are fewer than the connections that are allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
