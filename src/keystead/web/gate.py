"""In front of the application: whether a peer's request is served at all, and the line it leaves in the log.

ASGI on both sides. Not here: octets and time (`web.http`), and who the peer is (`web.visitor`).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected

from keystead.web.log import RequestLine, ServerLog
from keystead.web.visitor import Visitor
from keystead.wire.problems import MEDIA_TYPE, Problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_CLOSE = (b"connection", b"close")
_FAILED = Problem(500, "server-failed", "the server failed", "a mistake on its side", "tell whoever runs it")


class Exchange:
    """One request on its way through: counts, and keeps the connection from being used again in mid-body."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        visitor: Visitor,
        body_is_coming: Callable[[Scope], bool],
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._visitor = visitor
        self._body_is_coming = body_is_coming
        self._begun = time.monotonic()
        self._bytes_in = 0
        self._bytes_out = 0
        self._status: int | None = None
        self._code: str | None = None
        self._is_over = False
        self.client_has_left = False

    async def receive(self) -> Message:
        """As the server's, counted."""
        message = await self._receive()
        self.client_has_left |= message["type"] in ("http.disconnect", "websocket.disconnect")
        self._bytes_in += _size(message)
        return message

    async def send(self, message: Message) -> None:
        """As the server's, counted; an answer before the end of the body closes the connection after it."""
        if self._is_over:
            return
        if message["type"] in _STARTS:
            self._status = _STARTS[message["type"]](message)
            if self._body_is_coming(self._scope):
                message = {**message, "headers": [*message.get("headers", ()), _CLOSE]}
        self._bytes_out += _size(message)
        try:
            await self._send(message)
        except ClientDisconnected:  # raised for a websocket; what HTTP sends to nobody is dropped
            self.client_has_left = True
            raise

    async def answer(self, problem: Problem) -> None:
        """Answer with ``problem`` and close."""
        self._code = problem.code
        body = problem.to_json()
        kind = "websocket.http.response" if self._scope["type"] == "websocket" else "http.response"
        headers = [
            (b"content-type", MEDIA_TYPE.encode("ascii")),
            (b"content-length", str(len(body)).encode("ascii")),
            _CLOSE,
        ]
        await self.send({"type": f"{kind}.start", "status": problem.status, "headers": headers})
        await self.send({"type": f"{kind}.body", "body": body})

    def end(self, problem: Problem) -> None:
        """The connection was ended from below, with ``problem`` if no answer had begun: send nothing more."""
        self._is_over = True
        self._code = problem.code
        self._status = self._status or problem.status

    def line(self) -> RequestLine:
        """What the log says of it."""
        peer = self._visitor.peer
        return RequestLine(
            identity=peer.identity.uri if peer is not None else None,
            serial=peer.serial if peer is not None else None,
            address=self._visitor.address,
            method=self._scope.get("method", "WEBSOCKET"),
            path=self._scope["path"],
            status=self._status,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
            ms=round((time.monotonic() - self._begun) * 1000, 1),
            code=self._code,
            override=_override(self._scope),
        )


_STARTS: dict[str, Callable[[Message], int]] = {
    "http.response.start": lambda message: int(message["status"]),
    "websocket.http.response.start": lambda message: int(message["status"]),
    "websocket.accept": lambda message: 101,
}


def _override(scope: Scope) -> str | None:
    """The method that is meant where another carries it; whether it is heeded is the application's."""
    named = next((value for name, value in scope["headers"] if name == b"x-http-method-override"), None)
    return named.decode("latin-1") if named is not None else None


def _size(message: Message) -> int:
    return len(message.get("body") or message.get("bytes") or message.get("text") or b"")


class Gate:
    """The application as one connection sees it. ``current`` is the exchange that runs, if one does."""

    def __init__(
        self,
        app: App,
        visitor: Visitor,
        log: ServerLog,
        body_is_coming: Callable[[Scope], bool],
    ) -> None:
        self._app = app
        self._visitor = visitor
        self._log = log
        self._body_is_coming = body_is_coming
        self.current: Exchange | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or websocket."""
        exchange = Exchange(scope, receive, send, self._visitor, self._body_is_coming)
        self.current = exchange
        try:
            objection = self._visitor.objection()
            if objection is not None:
                await exchange.answer(objection)
                return
            scope["extensions"] = {**scope.get("extensions", {}), **self._visitor.extensions()}
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:  # noqa: BLE001  an application may fail in any way
            if not exchange.client_has_left:
                self._log.failure(f"the application failed at {scope['path']!r}", error)
                self._visitor.cut(_FAILED)
        finally:
            self.current = None
            self._log.request(exchange.line())
