"""Plaintext on its way out: encrypted only while the socket takes it, so that memory stays bounded.

Not here: when to close, and who is told to pause (`tls.protocol`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from OpenSSL import SSL

from keystead.tls.openssl import has_output

HIGH_WATER = 256 * 1024
LOW_WATER = 64 * 1024
"""Octets in the raw transport at which encryption stops, and at which it goes on."""

_PIECE = 64 * 1024
_OVERHEAD = 4 * 1024
"""Of records over one piece: far above need, so that one read empties OpenSSL's buffer."""


class Outgoing:
    """The queue of one connection. ``blocked`` is set and cleared by the raw transport's own marks.

    What is encrypted waits for the end of the loop's round, so that the head and the body of an answer, or
    an answer and the close_notify after it, are one call of the system.
    """

    __slots__ = (
        "_connection",
        "_encrypted",
        "_flush_is_due",
        "_loop",
        "_queue",
        "_queued",
        "_raw",
        "blocked",
        "handed",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: SSL.Connection, raw: asyncio.Transport
    ) -> None:
        raw.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)
        self._loop = loop
        self._connection = connection
        self._raw = raw
        self._encrypted = 0
        self._flush_is_due = False
        self._queue: deque[memoryview[Any]] = deque()
        self._queued = 0
        self.blocked = False
        self.handed = 0

    @property
    def pending(self) -> bool:
        """Whether plaintext waits to be encrypted."""
        return bool(self._queue)

    def unsent(self) -> int:
        """Octets that the kernel has not taken."""
        return self._queued + self._encrypted + self._raw.get_write_buffer_size()

    def gone(self) -> int:
        """Octets that the kernel has taken since the beginning: grows while the peer reads."""
        return self.handed - self._raw.get_write_buffer_size()

    def push(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Take ``data``, copied where its owner could change it. Raises `SSL.Error`."""
        view = memoryview(data if isinstance(data, bytes) else bytes(data))
        self._queue.append(view)
        self._queued += len(view)
        self.drain()

    def drain(self) -> None:
        """Encrypt and hand over until the socket is full or nothing waits. Raises `SSL.Error`."""
        while self._queue and not self.blocked:
            view = self._queue.popleft()
            sent = self._connection.send(view[:_PIECE])
            self._queued -= sent
            self._encrypted += sent
            if sent < len(view):
                self._queue.appendleft(view[sent:])
            if self._encrypted >= _PIECE:
                self.flush()
        if self._encrypted:
            self.flush_soon()

    def flush_soon(self) -> None:
        """`flush` at the end of the loop's round."""
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush_if_due)

    def _flush_if_due(self) -> None:
        if self._flush_is_due and not self._raw.is_closing():
            self.flush()

    def flush(self) -> None:
        """Hand over whatever OpenSSL has to say: records, alerts, answers to a KeyUpdate."""
        self._flush_is_due = False
        self._encrypted = 0
        if not has_output(self._connection):
            return
        wanted = 2 * _PIECE + _OVERHEAD
        while True:
            try:
                ciphertext = self._connection.bio_read(wanted)
            except SSL.WantReadError:
                return
            self.handed += len(ciphertext)
            self._raw.write(ciphertext)
            if len(ciphertext) < wanted:
                return

    def drop(self) -> None:
        """Forget what waits."""
        self._queue.clear()
        self._queued = 0
