"""HTTP/1.1 on one connection: what is answered, when it is given up, and how it ends.

uvicorn's protocol waits for a request without end, and queues an error behind nothing. Not here: how requests
are read (`web.parsing`), whom to serve (`web.gate`), TLS.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle
from uvicorn.server import ServerState

from keystead.tls.contexts import Holder
from keystead.tls.transport import TLSTransport
from keystead.web.gate import Gate, Receive, Scope, Send
from keystead.web.limits import Limits
from keystead.web.log import RequestLine, ServerLog
from keystead.web.parsing import MALFORMED, BoundedParser, Phase
from keystead.web.visitor import Visitor
from keystead.wire.problems import MEDIA_TYPE, Problem


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


_SLOW_HEAD = Problem(408, "too-slow", "the request's head did not arrive in time")
_STALLED = Problem(408, "too-slow", "the request's body stopped arriving")


class HttpProtocol(BoundedParser):
    """One connection above TLS."""

    transport: TLSTransport

    def __init__(self, services: Services) -> None:
        super().__init__(services.config, services.state, services.app_state, services.limits)
        self.logger = services.logger
        self.access_log = False
        self._services = services
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
            self.refuse(MALFORMED)
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
