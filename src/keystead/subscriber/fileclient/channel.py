"""HTTP/1.1 events (h11) over one mutual TLS connection, blocking. What requests mean is `connection`'s.

No HTTP library stands here, for two reasons: a server that refuses says so by an alert or an early answer,
which must be read even in mid-upload; and large blocks must go out and come in without being copied.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
from contextlib import suppress
from typing import Final

import h11

from keystead.subscriber.fileclient.address import ServerAddress
from keystead.tls.client import MutualContext, connect

BLOCK: Final = 512 * 1024
"""Octets that are read from a file, or gathered from the network, at once."""

_CONNECT_SECONDS: Final = 10.0
_SEND_SECONDS: Final = 60.0
_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""``struct linger``: on, and no time."""


class Channel:
    """Connected when it is made; raises `OSError`, `h11.RemoteProtocolError` and `Distrusted`."""

    def __init__(self, address: ServerAddress, context: MutualContext) -> None:
        plain = socket.create_connection((address.host, address.port), _CONNECT_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = connect(context, plain, address.host)
        self._http = h11.Connection(h11.CLIENT)
        self._buffer = memoryview(bytearray(BLOCK))

    def send(self, event: h11.Event) -> None:
        """Send an event; the block of an `h11.Data` goes out as it is."""
        self.tls.settimeout(_SEND_SECONDS)
        if isinstance(event, h11.Data):
            for piece in self._http.send_with_data_passthrough(event) or ():
                self.tls.sendall(piece)
        elif octets := self._http.send(event):
            self.tls.sendall(octets)

    def receive(self, seconds: float, wanted: int = 1) -> h11.Event:
        """The next event; `TimeoutError` where nothing comes within ``seconds``.

        Before it is looked for, ``wanted`` octets are gathered, at most `BLOCK`: never more than will come.
        """
        self.tls.settimeout(seconds)
        while True:
            event = self._http.next_event()
            if event is h11.PAUSED:
                raise h11.RemoteProtocolError("more than one answer came")
            if not isinstance(event, type):
                return event
            self._http.receive_data(self._gather(min(wanted, BLOCK)))  # type: ignore[arg-type]  # it copies

    def poll(self) -> h11.Event | None:
        """The next event, where it has arrived already."""
        if not self.is_readable():
            return None
        try:
            return self.receive(0)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None  # TLS's own messages, or a part of an event

    def is_readable(self) -> bool:
        """Whether something has arrived, an end included."""
        return bool(self.tls.pending() or select.select([self.tls], [], [], 0)[0])

    def is_reusable(self) -> bool:
        """Whether request and answer are both complete; the channel is then ready for the next."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    def close(self) -> None:
        """Hang up, with a close_notify whose answer nobody waits for."""
        with suppress(OSError, ValueError):
            self.tls.settimeout(0)
            self.tls.unwrap()
        self.tls.close()

    def abort(self) -> None:
        """End whatever another thread is doing here."""
        with suppress(OSError):
            # The close that follows is then a reset, so that the server does not wait for a reader who left.
            self.tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            socket.socket.shutdown(self.tls, socket.SHUT_RDWR)

    def _gather(self, wanted: int) -> memoryview:
        got = 0
        while got < wanted:
            octets = self.tls.recv_into(self._buffer[got:])
            if not octets:
                break
            got += octets
        return self._buffer[:got]
