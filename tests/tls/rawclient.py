"""A TLS client that shows each octet: stdlib `ssl` over memory BIOs and a plain socket."""

from __future__ import annotations

import contextlib
import socket
import ssl
from types import TracebackType
from typing import Self


class RawClient:
    """Blocking; everything waits at most ``timeout`` seconds. Octets from the server are kept in order."""

    def __init__(
        self,
        port: int,
        context: ssl.SSLContext,
        *,
        host: str = "127.0.0.1",
        timeout: float = 10.0,
        source: str = "",
    ) -> None:
        self.socket = socket.create_connection(
            (host, port), timeout=timeout, source_address=(source, 0) if source else None
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def flush(self, *, piece: int = 0) -> None:
        """Send what TLS wants sent, ``piece`` octets at a time where given."""
        data = self.outgoing.read()
        if not piece:
            self.socket.sendall(data)
            return
        for start in range(0, len(data), piece):
            self.socket.sendall(data[start : start + piece])

    def pull(self) -> bool:
        """Take more octets from the server; False at its end."""
        data = self.socket.recv(262_144)
        if not data:
            self.incoming.write_eof()
            return False
        self.incoming.write(data)
        return True

    def handshake(self, *, piece: int = 0) -> Self:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.flush(piece=piece)
                self.pull()
            else:
                self.flush(piece=piece)
                return self

    def send(self, data: bytes) -> None:
        self.tls.write(data)
        self.flush()

    def recv(self, size: int = 262_144) -> bytes:
        """Some plaintext; empty after close_notify. Raises `ssl.SSLError` for an alert or a truncation."""
        while True:
            try:
                return self.tls.read(size)
            except ssl.SSLWantReadError:
                self.pull()
            except ssl.SSLZeroReturnError:
                return b""

    def recv_exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self.recv(size - len(data))
            if not part:
                raise EOFError(bytes(data))
            data += part
        return bytes(data)

    def recv_all(self) -> bytes:
        data = bytearray()
        while part := self.recv():
            data += part
        return bytes(data)

    def close_notify(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.flush()


def alert_of(port: int, context: ssl.SSLContext, **options: str) -> str:
    """How the server refuses: the alert's name as the client's library spells it, or "eof"."""
    with RawClient(port, context, **options) as client:  # type: ignore[arg-type]
        try:
            client.handshake()
            client.recv()
        except ssl.SSLEOFError:
            return "eof"
        except ssl.SSLError as error:
            return "eof" if error.reason == "UNEXPECTED_EOF_WHILE_READING" else str(error.reason)
        except ConnectionResetError:
            return "reset"
    return "none"
