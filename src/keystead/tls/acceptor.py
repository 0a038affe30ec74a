"""What all connections of one event loop share: what is in force, the limits, the buffers, the places.

Not here: listening sockets (`web.listeners`), one connection (`tls.protocol`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from keystead.tls.capacity import Capacity, Caps, Tally
from keystead.tls.contexts import Holder
from keystead.tls.incoming import TURN
from keystead.tls.openssl import Reader, make_reader
from keystead.tls.protocol import TLSProtocol
from keystead.tls.refused import RefusedHandshake

BATCH = 128 * 1024
"""Ciphertext taken off a socket at once. Twice as much costs more: each copy of it would be fresh pages."""


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """Seconds and octets; each bounds what one peer can hold of the server.

    ``linger``: how long, and how much of, what still arrives is dropped after our last word.
    """

    handshake_seconds: float = 10.0
    stall_seconds: float = 30.0
    linger_seconds: float = 2.0
    linger_octets: int = 1024 * 1024


class Acceptor:
    """The protocol factory for ``loop.create_server``; made on the loop that will use it.

    ``factory`` makes the plaintext protocol of a client that got in, and ``on_refused`` is told of each that
    did not. ``holder`` is asked once per connection, so that a swap concerns new ones only. ``tally`` is that
    of the processes that serve together; None where this one serves alone.
    """

    def __init__(
        self,
        holder: Holder,
        factory: Callable[[], asyncio.Protocol],
        on_refused: Callable[[RefusedHandshake], None],
        *,
        limits: TransportLimits = TransportLimits(),
        caps: Caps = Caps(),  # noqa: B008  frozen
        tally: Tally | None = None,
        reader: Callable[[int], Reader] = make_reader,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.holder = holder
        self.factory = factory
        self.on_refused = on_refused
        self.limits = limits
        self.capacity = Capacity(caps, tally)
        # One pair of buffers for all: used within one callback of the loop and never across two.
        self.reader = reader(BATCH + 2 * TURN)
        self.ciphertext = memoryview(bytearray(BATCH))
        self.connections: set[TLSProtocol] = set()

    def __call__(self) -> TLSProtocol:
        """The protocol for one more accepted connection."""
        return TLSProtocol(self)

    def abort_all(self) -> None:
        """Reset every connection that is left."""
        for connection in tuple(self.connections):
            connection.abort(None)
