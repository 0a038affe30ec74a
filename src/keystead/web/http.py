"""HTTP/1.1 on one connection: uvicorn's protocol, with bounds on what it leaves unbounded.

uvicorn limits neither a head's size nor the wait for it, nor how much a client asks for before it has an
answer, and queues an error behind nothing. Not here: whom to serve (`web.gate`), TLS.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import Any
from weakref import WeakSet

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from keystead.tls.contexts import Holder
from keystead.tls.deadline import Deadline
from keystead.tls.transport import TLSTransport
from keystead.web.gate import Gate, Receive, Scope, Send
from keystead.web.limits import Limits
from keystead.web.log import RequestLine, ServerLog
from keystead.web.visitor import Visitor
from keystead.wire.problems import MEDIA_TYPE, Problem


class Phase(Enum):
    """What the parser is in the middle of."""

    BETWEEN = "between"
    HEAD = "head"
    BODY = "body"
    UPGRADE = "upgrade"


@dataclass(frozen=True, slots=True)
class Services:
    """What all connections of a server have in common."""

    config: Config
    state: ServerState
    app_state: dict[str, Any]
    holder: Holder
    limits: Limits
    log: ServerLog
    logger: Any
    visitors: WeakSet[Visitor]


_HEAD_PIECE = 4 * 1024
"""Octets parsed at once where requests may begin: some are cheap to send, and each is a queued cycle here."""

_BODY_PIECE = 16 * 1024
"""The same of a body whose length was not said: it may end anywhere, with requests behind it."""


_MALFORMED = Problem(
    400,
    "bad-request",
    "the request is not proper HTTP/1.1",
    mend="use an HTTP client as it is meant to be used",
)
_SLOW_HEAD = Problem(408, "too-slow", "the request's head did not arrive in time")
_STALLED = Problem(408, "too-slow", "the request's body stopped arriving")


class HttpProtocol(HttpToolsProtocol):
    """One connection above TLS."""

    transport: TLSTransport

    def __init__(self, services: Services) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(services.config, services.state, services.app_state, loop)
        self.logger = services.logger
        self.access_log = False
        self._services = services
        self._limits = services.limits
        self._deadline = Deadline(loop, self._out_of_time)
        self._phase = Phase.BETWEEN
        self._head_octets = 0
        self._fed_octets = 0
        self._unparsed = b""
        self._body_left = 0
        self._got_on = False
        self._begun = 0
        self._objection: Problem | None = None
        self._deaf = False
        self._running: RequestResponseCycle | None = None
        if services.config.ws_protocol_class is not None:
            self.ws_protocol_class = self._websocket  # type: ignore[assignment]  # whatever makes one will do

    # ---- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once the handshake has succeeded."""
        assert isinstance(transport, TLSTransport)
        super().connection_made(transport)
        address = (transport.get_extra_info("peername") or ("unknown",))[0]
        self._visitor = Visitor(transport.handshake, address, self._services.holder, self.cut)
        self._services.visitors.add(self._visitor)
        self._gate = Gate(
            self._services.config.loaded_app, self._visitor, self._services.log, self._body_is_coming
        )
        self.app = self._gate
        self._deadline.set(self._limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called once the connection is gone, or can carry nothing more."""
        super().connection_lost(exc)
        self._deaf = True
        self._services.visitors.discard(self._visitor)
        self._deadline.end()
        self._let_go()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # uvicorn always closes
        """The client will send nothing more: what it asked for is still answered."""
        running = self._running
        if running is None or running.response_complete or running.more_body:
            return None
        running.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        """Parse ``data``; what stands behind a request that waits for its turn waits unparsed."""
        self._unparsed += data
        self._parse()

    def _parse(self) -> None:
        """Feed the parser, within bounds, until a request has to wait for the one before it."""
        while self._unparsed and not self._deaf and not self.pipeline:
            size = max(self._body_left, _BODY_PIECE if self._phase is Phase.BODY else _HEAD_PIECE)
            piece, self._unparsed = self._unparsed[:size], self._unparsed[size:]
            self._feed(piece)
        if self._deaf:
            self._unparsed = b""
        elif self._unparsed:
            self.flow.pause_reading()  # which the application that runs may have resumed

    def _feed(self, data: bytes) -> None:
        if self._phase is Phase.BODY:
            self._deadline.set(self._limits.stall_seconds)
        self._got_on = False
        self._begun = 0
        was_between = self._phase is Phase.BETWEEN
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._upgrade()
        except httptools.HttpParserError:
            self._object(self._objection or _MALFORMED)
        else:
            is_one_head = was_between and self._begun == 1 and self._phase is Phase.HEAD
            self._count_fed(len(data), anew=self._got_on and not is_one_head)

    def _count_fed(self, octets: int, *, anew: bool) -> None:
        """Bound what the parser gathers of a single line: it shows a header only once it is whole."""
        self._fed_octets = 0 if anew else self._fed_octets + octets
        if self._fed_octets > self._limits.head:
            self._object(self._too_large())

    # ---- the parser's calls

    def on_message_begin(self) -> None:
        """A request's first octet."""
        super().on_message_begin()
        self._phase = Phase.HEAD
        self._got_on = True
        self._begun += 1
        self._head_octets = 0
        self._deadline.set(self._limits.head_seconds)

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        super().on_url(url)
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole header, or a trailer, which is dropped: the application has the headers already."""
        self._count_head(len(name) + len(value) + 4)
        if self._phase is Phase.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: the application may begin."""
        self._phase = Phase.BODY
        self._deadline.set(self._limits.stall_seconds)
        self._check_host()
        self._body_left = self._announced()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._got_on = True
        self._body_left = max(0, self._body_left - len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._phase = Phase.BETWEEN
        self._got_on = True
        self._body_left = 0
        self._deadline.clear()
        super().on_message_complete()

    def _count_head(self, octets: int) -> None:
        self._head_octets += octets
        if self._head_octets > self._limits.head:
            self._objection = self._too_large()
            raise ValueError  # out of the parser, which reports that its callback failed

    def _check_host(self) -> None:
        """Exactly one Host (RFC 9112, section 3.2)."""
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() != "1.0"):
            raise ValueError

    def _announced(self) -> int:
        """The octets of the body, 0 where that was not said; that it is a number was the parser's to see."""
        length = next((value for name, value in self.headers if name == b"content-length"), b"")
        return int(length.lstrip(b"0") or b"0")  # Python converts no more than 4,300 digits at once

    def _too_large(self) -> Problem:
        return Problem(
            431,
            "head-too-large",
            "the request's head is too large",
            f"its line and headers may be {self._limits.head:,} octets together",
        )

    # ---- answering

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """The answer is written: on with the next request, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._phase is Phase.BETWEEN:
            self._deadline.set(self._limits.head_seconds)
        if not self.pipeline:
            self.flow.resume_reading()
            self._parse()

    def cut(self, problem: Problem) -> None:
        """End the connection, with ``problem`` where somebody waits for an answer."""
        idle = self._running is None or self._running.response_complete
        if idle and self._phase is Phase.BETWEEN:
            self.transport.close()
        else:
            self.refuse(problem)

    def refuse(self, problem: Problem) -> None:
        """Answer what runs, or what has begun to arrive, with ``problem``, and end the connection.

        Where an answer has begun there is no way to say it: the connection is reset, so that nobody takes
        the half for the whole.
        """
        if self.transport.is_closing():
            return
        self._deaf = True
        self._deadline.clear()
        running = self._running
        if running is None or running.response_complete:
            self._write(problem)
            self._log_unserved(problem)
            return
        if self._gate.current is not None:
            self._gate.current.end(problem)
        self._let_go()
        if running.response_started:
            self.transport.abort()
        else:
            self._write(problem)

    def _object(self, problem: Problem) -> None:
        """Refuse what is being parsed; an earlier request that still runs is answered first."""
        running = self._running
        earlier = running is not None and not running.response_complete and not running.more_body
        if not earlier or running is None:
            self.refuse(problem)
            return
        self._deaf = True
        self._deadline.clear()
        self.pipeline.clear()
        running.keep_alive = False

    def _let_go(self) -> None:
        """Tell the application that runs that nobody listens any more."""
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def _write(self, problem: Problem) -> None:
        body = problem.to_json()
        head = b"".join(
            (
                STATUS_LINE[problem.status],
                *(name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers),
                b"content-type: " + MEDIA_TYPE.encode("ascii") + b"\r\n",
                b"content-length: " + str(len(body)).encode("ascii") + b"\r\n",
                b"connection: close\r\n\r\n",
            )
        )
        self.transport.write(head + body)
        self.transport.close()

    def _log_unserved(self, problem: Problem) -> None:
        """A line for a request that never reached the gate, as far as it was read."""
        peer = self._visitor.peer
        head_was_read = self._phase is not Phase.BETWEEN
        self._services.log.request(
            RequestLine(
                identity=peer.identity.uri if peer is not None else None,
                serial=peer.serial if peer is not None else None,
                address=self._visitor.address,
                method=self.scope.get("method", "") if head_was_read else "",
                path=self.url[:1000].decode("latin-1") if head_was_read else "",
                status=problem.status,
                bytes_in=0,
                bytes_out=0,
                ms=0.0,
                code=problem.code,
            )
        )

    def _body_is_coming(self, scope: Scope) -> bool:
        return self.scope is scope and self.cycle.more_body

    # ---- time

    def _out_of_time(self) -> None:
        if self._we_are_the_slow_one():
            self._deadline.set(self._limits.stall_seconds)
        elif self._phase is Phase.BETWEEN:
            self.transport.close()
        elif self._phase is Phase.HEAD:
            self._object(_SLOW_HEAD)
        elif self._phase is Phase.UPGRADE:
            self.refuse(_MALFORMED)
        else:
            self._object(_STALLED)

    def _we_are_the_slow_one(self) -> bool:
        """Whether the client waits for us: for an earlier answer, for the application to read, or for 100."""
        if self._phase is not Phase.BODY:
            return bool(self.pipeline)
        return bool(self.pipeline) or self.flow.read_paused or self.cycle.waiting_for_100_continue

    # ---- upgrades

    def _should_upgrade(self) -> bool:
        """Whether it asks for a websocket, which only a GET does (RFC 6455, section 4.1)."""
        return super()._should_upgrade() and self.scope["method"] == "GET"

    def _upgrade(self) -> None:
        if self._should_upgrade():
            self._phase = Phase.UPGRADE
            self._deadline.set(self._limits.head_seconds)  # a head that it cannot read gets no answer from it
            self.handle_websocket_upgrade()
            return
        # What follows the head is not HTTP any more: the request is answered as it stands, and that is all.
        self._deaf = True
        self._deadline.clear()
        self.cycle.keep_alive = False

    def _websocket(self, **arguments: Any) -> asyncio.Protocol:
        make: Any = self._services.config.ws_protocol_class
        protocol: Any = make(**arguments)
        protocol.app = self._serve_websocket
        protocol.logger = self._services.logger
        self._visitor.cut = lambda _: self.transport.abort()
        assert isinstance(protocol, asyncio.Protocol)
        return protocol

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._deadline.end()
        await self._gate(scope, receive, send)
