"""Small ASGI applications, and an HTTP reader as plain as they are."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from keystead.tls.peer import peer_of
from tests.tls.rawclient import RawClient


async def answer(send: Any, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Any) -> bytes | None:
    """The body, or None where the client left."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        if not message.get("more_body"):
            return bytes(body)


async def whoami(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await read_body(receive)
    peer = peer_of(scope)
    tls = scope["extensions"]["tls"]
    facts = {
        "identity": peer.identity.uri,
        "serial": peer.serial,
        "scheme": scope["scheme"],
        "tls": tls,
    }
    await answer(send, json.dumps(facts).encode())


async def count(scope: Any, receive: Any, send: Any) -> None:
    """How long the body was."""
    body = await read_body(receive)
    if body is not None:
        await answer(send, str(len(body)).encode())


class Uploads:
    """Reads bodies, and remembers how they ended."""

    def __init__(self) -> None:
        self.begun = 0
        self.received = 0
        self.ends: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("only http here")
        self.begun += 1
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.ends.append("disconnected")
                return
            self.received += len(message["body"])
            if not message.get("more_body"):
                break
        self.ends.append("whole")
        await answer(send, b"stored", 201)


class Slow:
    """Answers when told to, from whichever thread."""

    def __init__(self) -> None:
        self.begun = 0
        self._go: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("only http here")
        self._loop, self._go = asyncio.get_running_loop(), asyncio.Event()
        self.begun += 1
        await self._go.wait()
        await answer(send, b"at last")

    def go(self) -> None:
        assert self._loop is not None
        assert self._go is not None
        self._loop.call_soon_threadsafe(self._go.set)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> Any:
        assert self.headers["content-type"] == "application/problem+json"
        return json.loads(self.body)


def read_answer(client: RawClient, *, head_only: bool = False) -> Answer:
    data = b""
    while b"\r\n\r\n" not in data:
        part = client.recv()
        if not part:
            raise EOFError(data)
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    length = 0 if head_only else int(headers.get("content-length", "0"))
    body += client.recv_exactly(length - len(body)) if len(body) < length else b""
    return Answer(int(first.split()[1]), headers, body)


def get(client: RawClient, path: str = "/", *extra: str) -> Answer:
    head = "".join(f"{line}\r\n" for line in (f"GET {path} HTTP/1.1", "Host: localhost", *extra))
    client.send(head.encode("latin-1") + b"\r\n")
    return read_answer(client)


def begin_upload(client: RawClient, length: int, path: str = "/files/x") -> None:
    client.send(f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode())
