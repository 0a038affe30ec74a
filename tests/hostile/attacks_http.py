"""Attacks by HTTP, played by a client that the server lets in. Each goes on until it is told to stop."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator
from itertools import cycle

from tests.hostile.attacks_tls import TROUBLE, Attack, until
from tests.hostile.innocent import Caller
from tests.tls.rawclient import RawClient
from tests.web.apps import begin_upload, read_answer

HOST = b"Host: localhost\r\n"

HEAD_BOMBS = [
    b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"X%d: y\r\n" % number for number in range(50_000)),
    b"GET / HTTP/1.1\r\n" + HOST + b"a" * 1_000_000,
    b"GET /" + b"%2e" * 300_000 + b" HTTP/1.1\r\n",
    b"G" * 1_000_000,
    b"PUT /files/x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: y\r\n" * 100_000,
]

SMUGGLED_TARGET = b"/files/smuggled"
HIDDEN = b"PUT " + SMUGGLED_TARGET + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nx"
"""What a proxy in between would take for a body, and the server for a request, if it could be fooled."""

AMBIGUOUS = {
    "CL.TE": b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE.CL": b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n",
    "TE.TE": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "TE.TE, the second unknown": b"Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n0\r\n\r\n",
    "TE with a tab": b"Transfer-Encoding:\tchunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n",
    "TE after a space": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "TE in quotation marks": b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "TE misspelt": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n",
    "a list of lengths": b"Content-Length: 0, %d\r\n\r\n",
    "a length with a sign": b"Content-Length: +0\r\n\r\n",
    "a negative length": b"Content-Length: -1\r\n\r\n",
    "a length after a bare line feed": b"X: y\nContent-Length: 0\r\n\r\n",
    "a head that ends in bare line feeds": b"X: y\n\n",
    "a folded header": b"X: y\r\n Content-Length: 0\r\n\r\n",
    "a bare carriage return": b"X: y\rContent-Length: 0\r\n\r\n",
    "a NUL in a header": b"X: \0\r\n\r\n",
    "a chunk of negative size": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a chunk beyond 64 bits": b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n",
    "a chunk size with 0x": b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "a chunk that is longer than it says": b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "a chunk that ends in a bare line feed": b"Transfer-Encoding: chunked\r\n\r\n0\n\n",
    "an extension with a line feed": b"Transfer-Encoding: chunked\r\n\r\n0;a=\nb\r\n\r\n",
}
"""Requests of which two readers would see the end at two places. ``%d`` stands for the length of `HIDDEN`."""


def ambiguous(kind: str) -> bytes:
    """The request of that kind, with another one behind it."""
    head = AMBIGUOUS[kind]
    if b"%d" in head:
        head %= len(HIDDEN)
    return b"POST /whoami HTTP/1.1\r\n" + HOST + head + HIDDEN


def strike(caller: Caller, end: float, shots: Iterator[bytes], *, reads: bool = True) -> int:
    """A new connection for each shot; the answer is read where ``reads``."""
    context, struck = caller.context, 0
    for address in until(end):
        with contextlib.suppress(*TROUBLE), RawClient(caller.port, context, source=address) as client:
            client.handshake()
            struck += 1
            client.send(next(shots))
            if reads:
                read_answer(client)
    return struck


def head_bombs(caller: Caller, end: float) -> int:
    """Heads of a megabyte: in one header, in fifty thousand, in the target, in trailers."""
    return strike(caller, end, cycle(HEAD_BOMBS))


def smuggling(caller: Caller, end: float) -> int:
    """Every ambiguous request there is in `AMBIGUOUS`, with another one hidden behind it."""
    return strike(caller, end, cycle(map(ambiguous, AMBIGUOUS)))


def websockets(caller: Caller, end: float) -> int:
    """Upgrades to a websocket, whole, half and twice, with frames that nobody asked for behind them."""
    upgrade = (
        b"GET /whoami HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    frames = b"\x82\xff" + (1 << 40).to_bytes(8) + os.urandom(4096)
    shots = [
        upgrade,
        upgrade + frames,
        upgrade[:-40] + b"\r\n\r\n",
        upgrade + HIDDEN,
        upgrade.replace(b"13", b"0"),
    ]
    return strike(caller, end, cycle(shots))


def tiny_chunks(caller: Caller, end: float) -> int:
    """Bodies in chunks of one octet, each with an extension of a kilobyte."""
    chunk = b"1;" + b"e" * 1000 + b"\r\nx\r\n"
    head = b"PUT /files/chunks HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    return strike(caller, end, cycle([head + chunk * 300 + b"0\r\n\r\n", head + b"1" * 20]))


def pipelines(caller: Caller, end: float) -> int:
    """Thousands of requests in one go, whose answers nobody reads."""
    one = b"GET /whoami HTTP/1.1\r\n" + HOST + b"\r\n"
    return strike(caller, end, cycle([one * 5000]), reads=False)


def _many(caller: Caller, count: int, end: float) -> list[RawClient]:
    context, clients = caller.context, []
    for address, _ in zip(until(end), range(count), strict=False):
        with contextlib.suppress(*TROUBLE):
            clients.append(RawClient(caller.port, context, source=address).handshake())
    return clients


def _drip(caller: Caller, count: int, end: float, beginning: bytes, drop: bytes) -> int:
    """``count`` connections begin alike and go on by drops."""
    clients = _many(caller, count, end)
    drops = 0
    for client in clients:
        with contextlib.suppress(*TROUBLE):
            client.send(beginning)
            drops += 1
    while time.monotonic() < end:
        for client in clients:
            with contextlib.suppress(*TROUBLE):
                client.send(drop)
                drops += 1
        time.sleep(0.05)  # slow is what they are
    for client in clients:
        client.socket.close()
    return drops


def slow_heads(caller: Caller, end: float) -> int:
    """Slowloris: two hundred heads that never end, a header at a time."""
    return _drip(caller, 200, end, b"GET /whoami HTTP/1.1\r\n", b"X: y\r\n")


def slow_bodies(caller: Caller, end: float) -> int:
    """Two hundred uploads, an octet at a time."""
    head = b"PUT /files/slow HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n"
    return _drip(caller, 200, end, head, b"x")


def no_continue(caller: Caller, end: float) -> int:
    """Two hundred uploads that wait to be told 100 Continue, and then send nothing."""
    head = b"PUT /files/waiting HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    return _drip(caller, 200, end, head, b"")


def no_reader(caller: Caller, end: float) -> int:
    """A hundred clients that ask for a file of 8 MB, again and again, and read nothing of it."""
    with RawClient(caller.port, caller.context, source="127.0.1.99") as client:
        client.handshake()
        begin_upload(client, 8_000_000, "/files/large")
        client.send(bytes(8_000_000))
        read_answer(client)
    return _drip(caller, 100, end, b"", b"GET /files/large HTTP/1.1\r\n" + HOST + b"\r\n")


def cut_uploads(caller: Caller, end: float) -> int:
    """Uploads of 10 MB that are reset after one."""
    context, struck = caller.context, 0
    for address in until(end):
        with contextlib.suppress(*TROUBLE), RawClient(caller.port, context, source=address) as client:
            client.handshake()
            begin_upload(client, 10_000_000, "/files/cut")
            client.send(bytes(1_000_000))
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            struck += 1
    return struck


def begun_uploads(caller: Caller, end: float) -> int:
    """Uploads by tus that are begun and left, as many as there may be, and more."""
    fields = b"Tus-Resumable: 1.0.0\r\nUpload-Length: 1000\r\nUpload-Metadata: filename Zg==\r\n"
    create = b"POST /tus/ HTTP/1.1\r\n" + HOST + fields + b"Content-Length: 0\r\n\r\n"
    look = b"GET /tus/ HTTP/1.1\r\n" + HOST + b"\r\n"
    return strike(caller, end, cycle([create * 50, look]))


HTTP: dict[str, Attack] = {
    "slow heads (slowloris)": slow_heads,
    "slow bodies": slow_bodies,
    "uploads that wait for 100 Continue": no_continue,
    "heads of a megabyte": head_bombs,
    "smuggled requests": smuggling,
    "chunks of one octet with long extensions": tiny_chunks,
    "pipelines of 5,000 requests, unread": pipelines,
    "downloads that nobody reads": no_reader,
    "uploads that are reset": cut_uploads,
    "uploads by tus, begun and left": begun_uploads,
    "websockets, whole and broken": websockets,
}
