"""A door on a thread: our transport under a plain protocol, for tests that look at TLS alone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import uvloop
from OpenSSL import SSL

from keystead.tls.acceptor import Acceptor, TransportLimits
from keystead.tls.capacity import Caps
from keystead.tls.contexts import Holder, InForce
from keystead.tls.openssl import PinnedReader, PublicReader, Reader
from keystead.tls.refused import RefusedHandshake
from keystead.tls.transport import TLSTransport


@dataclass(frozen=True)
class Engine:
    """What the transport stands on, and what is spoken: TLS 1.3, or 1.2 alone."""

    reader: Callable[[int], Reader]
    new_loop: Callable[[], asyncio.AbstractEventLoop]
    tls_1_2: bool = False


ENGINES = {
    "pinned-uvloop": Engine(PinnedReader, uvloop.new_event_loop),
    "public-uvloop": Engine(lambda room: PublicReader(), uvloop.new_event_loop),
    "pinned-asyncio": Engine(PinnedReader, asyncio.new_event_loop),
    "pinned-uvloop-tls1.2": Engine(PinnedReader, uvloop.new_event_loop, tls_1_2=True),
    "public-uvloop-tls1.2": Engine(lambda room: PublicReader(), uvloop.new_event_loop, tls_1_2=True),
}


def of_tls_1_2(in_force: InForce) -> InForce:
    """The same for TLS 1.2, and for no other version."""
    credentials = replace(in_force.credentials, tls_1_2=True)
    made = InForce.of(credentials, in_force.crls, grace=in_force.grace)
    made.context.set_max_proto_version(SSL.TLS1_2_VERSION)
    return made


LIMITS = TransportLimits()
CAPS = Caps()


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for ``condition``; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come about in time")
        time.sleep(0.005)


class Echo(asyncio.Protocol):
    """Sends back what it gets, and remembers what befell it."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.lost: list[Exception | None] = []
        self.received = 0
        self.eof = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TLSTransport)
        self.transport = transport
        self.door.protocols.append(self)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self.transport.write(data)

    def eof_received(self) -> bool | None:
        self.eof = True
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


@dataclass
class Door:
    """What a test sees of the server."""

    holder: Holder
    protocol: Callable[[Door], asyncio.Protocol]
    port: int = 0
    refusals: list[RefusedHandshake] = field(default_factory=list)
    protocols: list[Echo] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    loop: asyncio.AbstractEventLoop = field(init=False)
    acceptor: Acceptor = field(init=False)

    def call(self, function: Callable[[], None]) -> None:
        self.loop.call_soon_threadsafe(function)


@contextmanager
def open_door(
    in_force: InForce,
    engine: str,
    *,
    protocol: Callable[[Door], asyncio.Protocol] = Echo,
    limits: TransportLimits = LIMITS,
    caps: Caps = CAPS,
) -> Iterator[Door]:
    chosen = ENGINES[engine]
    door = Door(Holder(of_tls_1_2(in_force) if chosen.tls_1_2 else in_force), protocol)
    ready = threading.Event()
    stop = asyncio.Event()

    async def main() -> None:
        door.loop = asyncio.get_running_loop()
        door.loop.set_exception_handler(lambda _, context: door.failures.append(repr(context)))
        door.acceptor = Acceptor(
            door.holder,
            lambda: door.protocol(door),
            door.refusals.append,
            limits=limits,
            caps=caps,
            reader=chosen.reader,
        )
        server = await door.loop.create_server(door.acceptor, "127.0.0.1", 0, backlog=2048)
        door.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        door.acceptor.abort_all()
        await asyncio.sleep(0)

    def run() -> None:
        with asyncio.Runner(loop_factory=chosen.new_loop) as runner:
            runner.run(main())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    try:
        yield door
    finally:
        door.call(stop.set)
        thread.join(10)
    assert not thread.is_alive()
    assert not door.failures, door.failures
