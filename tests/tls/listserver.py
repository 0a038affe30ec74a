"""A web server of revocation lists as bad as a test wants it: raw octets out, heads of requests noted."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Script = Callable[[socket.socket], None]
"""What is done with a connection after its request was read."""


def says(*parts: bytes) -> Script:
    """Sends ``parts``."""

    def send(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)

    return send


def answers(body: bytes, *fields: str, status: str = "200 OK") -> Script:
    """A proper answer."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return says("\r\n".join([*head, "", ""]).encode(), body)


class ListServer:
    """Listens on loopback; ``script`` may be exchanged at any time, ``heads`` are the requests so far.

    With a ``context`` it speaks TLS.
    """

    def __init__(self) -> None:
        self.script: Script = answers(b"", status="404 Not Found")
        self.heads: list[str] = []
        self.stopped = threading.Event()
        self.context: ssl.SSLContext | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/crl.pem"

    def run(self) -> None:
        while not self.stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with suppress(OSError), self._wrapped(connection) as connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(4096)
                self.heads.append(head.decode("latin-1"))
                self.script(connection)

    def _wrapped(self, connection: socket.socket) -> socket.socket:
        return self.context.wrap_socket(connection, server_side=True) if self.context else connection

    def stop(self) -> None:
        self.stopped.set()
        with suppress(OSError):  # it may have been stopped already
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def list_server() -> Iterator[ListServer]:
    """One that runs on a thread for the time of the body."""
    server = ListServer()
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
