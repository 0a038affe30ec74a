"""Attacks below HTTP: sockets, handshakes and TLS records. Each goes on until it is told to stop.

`STRANGERS` need no certificate; `ADMITTED` are played by a client that the server lets in.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

from keystead.pki.names import TrustDomain
from tests.hostile.innocent import Caller
from tests.tls.rawclient import RawClient
from tests.tls.records import APPLICATION_DATA, KEY_UPDATE_REQUESTED, RecordClient
from tests.tls.throwaway import Environment, anonymous_context
from tests.web.apps import get

Attack = Callable[[Caller, float], int]
"""Attacks as ``caller`` until the moment (of the monotonic clock); gives back how often it struck."""

ADDRESSES = [f"127.0.1.{number}" for number in range(1, 51)]
"""Where the attackers come from; the innocent client is elsewhere."""

TROUBLE = (OSError, EOFError, ssl.SSLError)
"""What an attacker meets when the server defends itself."""


def until(end: float) -> Iterator[str]:
    """An address for each strike, until ``end``."""
    for address in cycle(ADDRESSES):
        if time.monotonic() >= end:
            return
        yield address


def connect(caller: Caller, address: str, timeout: float = 5) -> socket.socket:
    return socket.create_connection(("127.0.0.1", caller.port), timeout, source_address=(address, 0))


def hello(caller: Caller, context: ssl.SSLContext | None = None) -> bytes:
    """A ClientHello, as a record."""
    outgoing = ssl.MemoryBIO()
    tls = (context or anonymous_context()).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def half_open(caller: Caller, end: float) -> int:
    """A thousand connections that say nothing; each is replaced when the server gives it up."""
    silent: deque[socket.socket] = deque()
    opened = 0
    for address in until(end):
        with contextlib.suppress(OSError):
            silent.append(connect(caller, address))
            opened += 1
        if len(silent) > 1000:
            silent.popleft().close()
    for each in silent:
        each.close()
    return opened


def half_said(caller: Caller, end: float) -> int:
    """Half a ClientHello, an octet at a time, on two hundred connections."""
    greeting = hello(caller)[:-1]
    slow: list[tuple[socket.socket, Iterator[int]]] = []
    octets = 0
    for address in until(end):
        with contextlib.suppress(OSError):
            if len(slow) < 200:
                slow.append((connect(caller, address), iter(greeting)))
        for each, rest in list(slow):
            octet = next(rest, None)
            try:
                if octet is None:
                    raise ConnectionError
                each.sendall(bytes([octet]))
                octets += 1
            except OSError:
                each.close()
                slow.remove((each, rest))
    for each, _ in slow:
        each.close()
    return octets


def garbage(caller: Caller, end: float) -> int:
    """100 MB of noise before any handshake, after octets that look like a record's head and without."""
    struck = 0
    noise = os.urandom(1 << 16)
    heads = cycle([b"", b"\x16\x03\x01\x40\x00", b"\x17\x03\x03\xff\xff", b"GET / HTTP/1.1\r\n"])
    for address in until(end):
        with contextlib.suppress(OSError), connect(caller, address, timeout=1) as sock:
            struck += 1
            sock.sendall(next(heads))
            for _ in range(1600):  # as far as it is read: the server soon stops
                sock.sendall(noise)
    return struck


def fat_hello(caller: Caller, end: float) -> int:
    """ClientHellos of 128 KiB."""
    body = hello(caller)[5:]
    grown = body[:1] + (128 * 1024).to_bytes(3) + body[4:] + bytes(128 * 1024 - len(body) + 4)
    records = b"".join(
        b"\x16\x03\x01" + len(piece).to_bytes(2) + piece
        for piece in (grown[start : start + 16_384] for start in range(0, len(grown), 16_384))
    )
    return _shout(caller, end, records)


def crumbs(caller: Caller, end: float) -> int:
    """ClientHellos in records of a single octet."""
    body = hello(caller)[5:]
    return _shout(caller, end, b"".join(b"\x16\x03\x01\x00\x01" + bytes([octet]) for octet in body))


def _shout(caller: Caller, end: float, data: bytes) -> int:
    struck = 0
    for address in until(end):
        with contextlib.suppress(OSError), connect(caller, address) as sock:
            struck += 1
            sock.sendall(data)
            sock.recv(1 << 16)
    return struck


def resets(caller: Caller, end: float) -> int:
    """Connections that are reset in mid-handshake."""
    greeting, struck = hello(caller), 0
    for address in until(end):
        with contextlib.suppress(OSError), connect(caller, address) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(greeting)
            struck += 1
    return struck


def strangers(caller: Caller, end: float) -> int:
    """Handshakes without a certificate, one after the other."""
    return _knock(caller, end, cycle([anonymous_context()]))


def foreigners(caller: Caller, end: float) -> int:
    """Handshakes with the certificate of another CA, and with one of 100 kB."""
    other = Environment(TrustDomain("dev.mallory.example"))
    return _knock(
        caller, end, cycle([other.leaf("mallory").context, other.leaf("fat", padding=100_000).context])
    )


def odd_alpn(caller: Caller, end: float) -> int:
    """Clients that propose h2 alone, protocols that nobody knows, or hundreds of them."""
    contexts = []
    for protocols in (["h2"], ["x" * 255], [f"p{number}" for number in range(2000)], ["http/1.1", "\x7f"]):
        context = caller.context
        context.set_alpn_protocols(protocols)
        contexts.append(context)
    return _knock(caller, end, cycle(contexts))


def _knock(caller: Caller, end: float, contexts: Iterator[ssl.SSLContext]) -> int:
    struck = 0
    for address in until(end):
        with contextlib.suppress(*TROUBLE), RawClient(caller.port, next(contexts), source=address) as client:
            struck += 1
            client.handshake()
            get(client)
    return struck


def _flood(caller: Caller, end: float, records: Callable[[RecordClient], bytes]) -> int:
    """Records made by hand, on one connection after the other, as long as the server takes them."""
    pair = caller.pair
    sent = 0
    with tempfile.TemporaryDirectory() as folder:
        for address in until(end):
            with (
                contextlib.suppress(*TROUBLE),
                RecordClient(caller.port, pair, Path(folder), source=address) as client,
            ):
                while time.monotonic() < end:
                    client.socket.sendall(records(client))
                    sent += 1
    return sent


def key_updates(caller: Caller, end: float) -> int:
    """Floods of KeyUpdate."""
    return _flood(caller, end, lambda client: b"".join(client.key_update() for _ in range(100)))


def hidden_key_updates(caller: Caller, end: float) -> int:
    """The same between single octets of a request that never ends."""

    def records(client: RecordClient) -> bytes:
        updates = b"".join(client.key_update() for _ in range(20))
        return updates + client.record(APPLICATION_DATA, b"G")

    return _flood(caller, end, records)


def wanted_key_updates(caller: Caller, end: float) -> int:
    """KeyUpdates that ask for one in return, from a client that reads none."""

    def records(client: RecordClient) -> bytes:
        return b"".join(client.key_update(KEY_UPDATE_REQUESTED) for _ in range(100))

    return _flood(caller, end, records)


def empty_records(caller: Caller, end: float) -> int:
    """Records that hold nothing."""
    return _flood(
        caller, end, lambda client: b"".join(client.record(APPLICATION_DATA, b"") for _ in range(100))
    )


STRANGERS: dict[str, Attack] = {
    "1,000 half-open connections": half_open,
    "half a ClientHello, octet by octet": half_said,
    "100 MB of garbage before the handshake": garbage,
    "ClientHellos of 128 KiB": fat_hello,
    "ClientHellos in records of one octet": crumbs,
    "resets in mid-handshake": resets,
    "handshakes without a certificate": strangers,
    "handshakes with another CA's certificate, or 100 kB of it": foreigners,
}

ADMITTED: dict[str, Attack] = {
    "odd ALPN": odd_alpn,
    "floods of KeyUpdate": key_updates,
    "KeyUpdates hidden between octets": hidden_key_updates,
    "KeyUpdates that want an answer, unread": wanted_key_updates,
    "floods of empty records": empty_records,
}
