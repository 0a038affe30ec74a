"""Listening sockets from "HOST:PORT": a name binds every address that it resolves to.

Not here: what is done with a connection.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from keystead.errors import KeysteadError, NotThere, Unavailable, WrongUsage
from keystead.wire.place import place_of

BACKLOG = 2_048
_PORT_ATTEMPTS = 20
_NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
"""An address that a name resolves to and this machine lacks: ::1 in many a container."""


@dataclass(frozen=True, slots=True)
class Address:
    """A bound address: ``host`` is numeric, ``port`` the real one where 0 was asked for."""

    host: str
    port: int

    def __str__(self) -> str:
        return place_of(self.host, self.port)


def parse_listen(text: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT`` (``[::1]:8443`` for IPv6); raises `WrongUsage`."""
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host != bare
    if not colon or not bare or (":" in bare and not bracketed) or not port.isascii() or not port.isdigit():
        raise WrongUsage(
            f"{text!r} is not an address to listen on",
            why="it is a host name or an IP address, a colon, and a port",
            mend="write for example localhost:8443, 0.0.0.0:8443 or [::]:8443 (--listen)",
        )
    if int(port) > 65_535:
        raise WrongUsage(f"{port} is not a port", why="a port is at most 65535")
    return bare, int(port)


def bind(listen: Sequence[str]) -> tuple[socket.socket, ...]:
    """Sockets that listen on each of ``listen``; all of them or none.

    Raises `WrongUsage`, `NotThere` (a name that does not resolve) or `Unavailable` (in use, no permission).
    """
    with ExitStack() as opened:
        sockets = [sock for text in listen for sock in _bind_all(text, opened)]
        opened.pop_all()
        return tuple(sockets)


def address_of(sock: socket.socket) -> Address:
    """Where a socket listens."""
    host, port, *_ = sock.getsockname()
    return Address(host, port)


def _bind_all(text: str, opened: ExitStack) -> list[socket.socket]:
    host, port = parse_listen(text)
    infos = _resolve(text, host, port)
    if port or len(infos) == 1:
        return _bind_each(text, infos, port, opened)
    for attempt in range(
        _PORT_ATTEMPTS
    ):  # one free port for all: the kernel's choice for the first may be taken
        with ExitStack() as tried:
            try:
                sockets = _bind_each(text, infos, 0, tried)
            except Unavailable:
                if attempt == _PORT_ATTEMPTS - 1:
                    raise
                continue
            opened.push(tried.pop_all())
            return sockets
    raise AssertionError("unreachable")


def _resolve(text: str, host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise NotThere(
            f"cannot listen on {text}",
            why=f"the name {host!r} does not resolve: {getattr(error, 'strerror', None) or error}",
            mend="name an address of this machine, such as localhost:8443 or 0.0.0.0:8443 (--listen)",
        ) from None
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _bind_each(
    text: str, infos: list[tuple[socket.AddressFamily, tuple[object, ...]]], port: int, opened: ExitStack
) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, address in infos:
        try:
            sock = opened.enter_context(_listening(family, (address[0], port, *address[2:])))
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise _cannot_listen(text, error) from None
            missing = error
            continue
        port = sock.getsockname()[1]
        sockets.append(sock)
    if missing is not None and not sockets:
        raise _cannot_listen(text, missing)
    return sockets


def _listening(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _cannot_listen(text: str, error: OSError) -> KeysteadError:
    mends = {
        errno.EADDRINUSE: "stop the program that listens there, or choose another port (--listen)",
        errno.EACCES: "choose a port from 1024 upwards (--listen), or give the service CAP_NET_BIND_SERVICE",
        errno.EADDRNOTAVAIL: "name an address of this machine (--listen); see: ip address",
    }
    return Unavailable(
        f"cannot listen on {text}",
        why=error.strerror or str(error),
        mend=mends.get(error.errno or 0, ""),
        code="cannot-listen",
    )
