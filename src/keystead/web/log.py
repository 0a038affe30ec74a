"""What the server says of itself: one JSON object a line, for requests, refused handshakes and warnings.

What strangers send is only ever a JSON string, in ASCII: no line break, no escape sequence of a terminal.
Not here: what is worth a line.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import structlog

from keystead.errors import KeysteadError
from keystead.tls.refused import RefusedHandshake, presented
from keystead.web.listeners import Address


@dataclass(frozen=True, slots=True)
class RequestLine:
    """One request, or one websocket at its end. ``status`` is None where the client left before."""

    identity: str | None
    serial: str | None
    address: str
    method: str
    path: str
    status: int | None
    bytes_in: int
    bytes_out: int
    ms: float
    code: str | None = None
    """The problem's, where the server itself refused."""
    override: str | None = None
    """The method that the client named in X-HTTP-Method-Override."""


_REQUEST_FIELDS = tuple(field.name for field in fields(RequestLine))


class Stream(Protocol):
    """What lines are written to; each comes in one call."""

    def write(self, text: str, /) -> int:
        """Write ``text``."""

    def flush(self) -> None:
        """Keep nothing back."""


class ServerLog:
    """Writes to ``stream``; a stream that is gone stops no server.

    ``worker`` is put into each line where several processes write. ``is_new`` is then asked, while holding
    ``turn``, whether none of the others has given a warning of these words already.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        worker: int | None = None,
        turn: AbstractContextManager[None] | None = None,
        is_new: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._turn = nullcontext() if turn is None else turn
        self._is_new = is_new
        self._log = structlog.wrap_logger(
            structlog.WriteLogger(stream),  # type: ignore[arg-type]  # it needs no more of a file than these two
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                structlog.processors.EventRenamer("event"),
                structlog.processors.JSONRenderer(ensure_ascii=True),
            ],
            wrapper_class=structlog.BoundLogger,
            context_class=dict,
        ).bind(**({} if worker is None else {"worker": worker}))  # assembled once, not at each line

    def request(self, line: RequestLine) -> None:
        """A request that has ended."""
        self._write("request", **{name: getattr(line, name) for name in _REQUEST_FIELDS})

    def refused(self, refusal: RefusedHandshake) -> None:
        """A handshake that did not succeed, with what the client showed of itself."""
        shown = presented(refusal.certificate) if refusal.certificate is not None else None
        self._write(
            "handshake-refused",
            address=refusal.address,
            code=refusal.code,
            reason=refusal.reason,
            depth=refusal.depth,
            certificate=asdict(shown) if shown is not None else None,
            detail=refusal.detail,
        )

    def warning(self, error: KeysteadError) -> None:
        """Something that goes on working and should be seen to."""
        with self._turn:
            if self._is_new(str(error)):
                self._write("warning", **_parts(error))

    def started(self, addresses: Iterable[Address], **values: Any) -> None:
        """Connections are accepted."""
        self.event("started", addresses=[str(address) for address in addresses], **values)

    def stopped(self, cut: int) -> None:
        """The end, at which ``cut`` requests had not finished."""
        self.event("stopped", cut=cut)

    def worker_ended(
        self, worker: int, how: str, error: KeysteadError | None, *, again_in_seconds: float
    ) -> None:
        """A worker has ended unasked; ``error`` is why, where it could say so."""
        parts = _parts(error) if error is not None else {}
        self._write("worker-ended", worker=worker, how=how, again_in_seconds=again_in_seconds, **parts)

    def event(self, event: str, **values: Any) -> None:
        """Anything else: a swap, a worker that serves."""
        self._write(event, **values)

    def failure(self, what: str, error: BaseException | None) -> None:
        """A mistake in the application or in ours, with its traceback."""
        text = "".join(traceback.format_exception(error)) if error is not None else ""
        self._write("failure", what=what, traceback=text)

    def _write(self, event: str, **values: Any) -> None:
        with contextlib.suppress(OSError, ValueError):  # a closed pipe, a closed file
            self._log.msg(event, **values)


def _parts(error: KeysteadError) -> dict[str, str]:
    return {"code": error.code, "what": error.what, "why": error.why, "mend": error.mend}


class LogHandler(logging.Handler):
    """Gives what uvicorn's own parts report to the server's log."""

    def __init__(self, log: ServerLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """One record."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, asyncio.CancelledError):  # the server is stopping
            return
        self._log.failure(record.getMessage().strip(), error)


def uvicorn_logger(log: ServerLog) -> logging.Logger:
    """A logger of this server alone: nothing global is configured."""
    logger = logging.Logger("keystead.web", logging.WARNING)
    logger.addHandler(LogHandler(log))
    return logger
