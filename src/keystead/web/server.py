"""The server as a program has it: `serve` until a signal, or `serving` on a thread.

Not here: the server itself (`web.engine`), and several processes (`web.supervisor`).
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import uvloop

from keystead.tls.reloading import CredentialSource
from keystead.web.engine import Server, raise_descriptor_limit
from keystead.web.gate import App
from keystead.web.limits import Limits
from keystead.web.listeners import Address, bind
from keystead.web.log import ServerLog, Stream

__all__ = ["DEFAULT_LISTEN", "Address", "App", "serve", "serving"]

DEFAULT_LISTEN = ("localhost:8443",)
DEFAULT_LIMITS = Limits()


def serve(
    app: App,
    source: CredentialSource,
    *,
    listen: Sequence[str] = DEFAULT_LISTEN,
    limits: Limits = DEFAULT_LIMITS,
    log: Stream = sys.stderr,
    on_ready: Callable[[tuple[Address, ...]], None] = lambda _: None,
) -> None:
    """Serve ``app`` until SIGTERM or SIGINT; then finish what runs within ``limits.stop_seconds`` and return.

    A second signal cuts at once. ``listen`` is "HOST:PORT" each; a name binds every address that it resolves
    to, port 0 one free port. ``log`` gets one JSON object a line: requests, refused handshakes, warnings.
    ``on_ready`` is called with the bound addresses once connections are accepted. Raises `KeysteadError`
    where nothing can be served: an address in use, material that does not load, no CRL.
    """
    raise_descriptor_limit()
    server_log = ServerLog(log)
    server = Server(app, source, listening=partial(bind, listen), limits=limits, log=server_log)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        told_to_stop, hurry = asyncio.Event(), asyncio.Event()

        def on_signal() -> None:
            (hurry if told_to_stop.is_set() else told_to_stop).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        addresses = await server.start()
        server_log.started(addresses)
        on_ready(addresses)
        await told_to_stop.wait()
        server_log.stopped(await server.stop(hurry))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@contextmanager
def serving(
    app: App,
    source: CredentialSource,
    *,
    listen: Sequence[str] = ("127.0.0.1:0",),
    limits: Limits = DEFAULT_LIMITS,
    log: Stream = sys.stderr,
) -> Iterator[tuple[Address, ...]]:
    """The same on a thread of its own, for tests and tools: gives the bound addresses, stops on leaving."""
    server_log = ServerLog(log)
    server = Server(app, source, listening=partial(bind, listen), limits=limits, log=server_log)
    started = threading.Event()
    addresses: tuple[Address, ...] = ()
    failure: BaseException | None = None
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event

    async def main() -> None:
        nonlocal addresses, failure, loop, stop
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            addresses = await server.start()
            server_log.started(addresses)
        except BaseException as error:  # noqa: BLE001  raised again on the caller's thread
            failure = error
            return
        finally:
            started.set()
        await stop.wait()
        server_log.stopped(await server.stop())

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())

    thread = threading.Thread(target=run, name="keystead-server")
    thread.start()
    started.wait()
    if failure is not None:
        thread.join()
        raise failure
    try:
        yield addresses
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
