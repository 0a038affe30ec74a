"""One of the processes that serve together: ``python -m keystead.web.worker DESCRIPTOR``, by the supervisor.

It is started by exec and reads the key by itself, so that no process forks with OpenSSL and threads in it.
DESCRIPTOR is one end of a socketpair: the order comes from it, and its end means that the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from dataclasses import replace
from functools import partial

import uvloop

from keystead.errors import KeysteadError
from keystead.web.engine import Server, raise_descriptor_limit
from keystead.web.log import ServerLog
from keystead.web.orders import Command, Failed, Order, Ready, Report, Stopped, receive_order, write_report
from keystead.web.places import SharedTally
from keystead.web.shared import Memory, SharedStream

LAST_SECONDS = 5.0
"""For the end beyond ``stop_seconds``: last words, the application's own end."""


def main() -> None:
    """Serve until told to stop."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # as the command line does
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it may write to the terminal of its supervisor's group
    channel = socket.socket(fileno=int(sys.argv[1]))
    try:
        order = receive_order(channel)
        for descriptor in (channel.fileno(), *order.sockets, order.memory, *order.wakes, order.log):
            os.set_inheritable(descriptor, False)  # the application may start programs of its own
        server = _make_server(order)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(server, order, channel))
    except Exception as error:  # noqa: BLE001  an application may fail in any way when it is imported
        if os.environ.get("KEYSTEAD_DEBUG"):
            traceback.print_exc()
        _report(channel, Failed(error if isinstance(error, KeysteadError) else _as_mistake(error)))
        sys.exit(1)


def _make_server(order: Order) -> Server:
    memory = Memory(order.memory, order.workers)
    app, source = order.make()
    if order.worker > 0:
        source = replace(source, remote=None)  # the first one fetches, and the others see the file
    return Server(
        app,
        source,
        listening=lambda: [socket.socket(fileno=descriptor) for descriptor in order.sockets],
        limits=order.limits,
        log=ServerLog(
            SharedStream(order.log, memory.writing),
            worker=order.worker + 1,
            turn=memory.writing,
            is_new=partial(memory.is_new, order.worker),
        ),
        tally=SharedTally(memory, order.worker, order.wakes),
    )


async def _serve(server: Server, order: Order, channel: socket.socket) -> None:
    raise_descriptor_limit()
    loop, stop, hurry = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # however often: to hurry is the supervisor's to say
        loop.add_signal_handler(number, stop.set)
    await server.start()
    _heed_pleas(loop, order.wakes[order.worker], server)
    events = {Command.STOP.value: stop, Command.HURRY.value: hurry}
    patience = order.limits.stop_seconds + LAST_SECONDS
    threading.Thread(target=_heed_commands, args=(channel, loop, events, patience), daemon=True).start()
    _report(channel, Ready())
    await stop.wait()
    _report(channel, Stopped(await server.stop(hurry)))


def _heed_pleas(loop: asyncio.AbstractEventLoop, wake: int, server: Server) -> None:
    def on_wake() -> None:
        with contextlib.suppress(BlockingIOError):  # what its predecessor was told is nothing to it
            os.eventfd_read(wake)
        server.give_way()

    loop.add_reader(wake, on_wake)


def _heed_commands(
    channel: socket.socket,
    loop: asyncio.AbstractEventLoop,
    events: dict[bytes, asyncio.Event],
    patience: float,
) -> None:
    """Pass commands on; be gone ``patience`` seconds after the supervisor is, whatever holds up the loop."""

    def set_soon(event: asyncio.Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(event.set)

    with contextlib.suppress(ConnectionError):
        while command := channel.recv(1):
            set_soon(events[command])
    set_soon(events[Command.STOP.value])
    time.sleep(patience)
    os._exit(1)


def _report(channel: socket.socket, report: Report) -> None:
    with contextlib.suppress(OSError):  # whoever is gone needs no report
        channel.sendall(write_report(report))


def _as_mistake(error: Exception) -> KeysteadError:
    return KeysteadError(
        f"a worker stumbled over a mistake: {type(error).__name__}",
        why=str(error).partition("\n")[0],
        mend="see where it happened: KEYSTEAD_DEBUG=1 keystead serve …",
    )


if __name__ == "__main__":
    main()
