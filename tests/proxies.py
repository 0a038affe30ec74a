"""A TCP proxy between client and server that breaks connections, as networks do."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_RESET = struct.pack("ii", 1, 0)
_BLOCK = 64 * 1024


@dataclass
class Proxy:
    """What has passed, in octets, since it began."""

    port: int
    up: int = 0
    down: int = 0
    connections: int = 0
    pause: float = 0.0
    _open: list[socket.socket] = field(default_factory=list)

    def cut(self) -> None:
        """Break what is open now."""
        while self._open:
            _reset(self._open.pop())


@contextmanager
def proxying(
    port: int, *, up: Sequence[int] = (), down: Sequence[int] = (), pause: float = 0.0
) -> Iterator[Proxy]:
    """A proxy to ``port`` of this machine.

    Its first connections are reset after so many octets ``up`` to the server or ``down`` from it, one number
    a connection; later ones are left alone. It waits ``pause`` seconds after each 64 KiB.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(listener.getsockname()[1], pause=pause)
        acceptor = threading.Thread(target=_accept, args=(proxy, listener, port, list(up), list(down)))
        acceptor.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            proxy.cut()


def _accept(proxy: Proxy, listener: socket.socket, port: int, up: list[int], down: list[int]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with suppress(OSError):
            server = socket.create_connection(("127.0.0.1", port))
            proxy.connections += 1
            proxy._open += [client, server]
            for source, target, budgets, name in ((client, server, up, "up"), (server, client, down, "down")):
                budget = budgets.pop(0) if budgets else None
                threading.Thread(
                    target=_pass_on, args=(proxy, source, target, budget, name), daemon=True
                ).start()
            continue
        _reset(client)


def _pass_on(
    proxy: Proxy, source: socket.socket, target: socket.socket, budget: int | None, name: str
) -> None:
    passed = 0
    try:
        while block := source.recv(_BLOCK):
            target.sendall(block)
            passed += len(block)
            setattr(proxy, name, getattr(proxy, name) + len(block))
            time.sleep(proxy.pause)
            if budget is not None and passed >= budget:
                raise ConnectionResetError
        target.shutdown(socket.SHUT_WR)
    except OSError:
        _reset(source)
        _reset(target)


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
