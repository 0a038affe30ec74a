"""Requests as they come in on one connection: uvicorn's parser, with bounds on what it leaves unbounded.

uvicorn limits neither a head's size, nor how much a client asks for before it has an answer. Not here: what
is answered, also to what is refused here (`web.http`).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from enum import Enum
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from keystead.tls.deadline import Deadline
from keystead.web.limits import Limits
from keystead.wire.problems import Problem


class Phase(Enum):
    """What the parser is in the middle of."""

    BETWEEN = "between"
    HEAD = "head"
    BODY = "body"
    UPGRADE = "upgrade"


_HEAD_PIECE = 4 * 1024
"""Octets parsed at once where requests may begin: some are cheap to send, and each is a queued cycle here."""

_BODY_PIECE = 16 * 1024
"""The same of a body whose length was not said: it may end anywhere, with requests behind it."""

MALFORMED = Problem(
    400,
    "bad-request",
    "the request is not proper HTTP/1.1",
    mend="use an HTTP client as it is meant to be used",
)


class BoundedParser(HttpToolsProtocol, ABC):
    """One connection's requests; ``_deadline`` is kept by what the parser is in the middle of.

    Whoever inherits says what becomes of what is refused or late. Once ``_deaf``, nothing more is read.
    """

    def __init__(self, config: Config, state: ServerState, app_state: dict[str, Any], limits: Limits) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(config, state, app_state, loop)
        self._limits = limits
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

    @abstractmethod
    def _object(self, problem: Problem) -> None:
        """Refuse what is being parsed."""

    @abstractmethod
    def _upgrade(self) -> None:
        """The request that was just parsed asks for another protocol."""

    @abstractmethod
    def _out_of_time(self) -> None:
        """What ``_deadline`` was set for did not come."""

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
            self._object(self._objection or MALFORMED)
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
