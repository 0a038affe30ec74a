"""Requests and answers over a connection that is used again while it lasts; every failure in words.

Not here: what is asked for (`sending`, `fetching`, `session`).
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import h11
from cryptography import x509

from keystead.errors import BadInput, KeysteadError, Unavailable
from keystead.machine.clock import Clock
from keystead.subscriber.fileclient.address import ServerAddress
from keystead.subscriber.fileclient.channel import Channel
from keystead.tls.alerts import Attempt, alert_of
from keystead.tls.client import MutualContext
from keystead.tls.failures import explained
from keystead.wire.problems import MAX_DOCUMENT, Problem

Fields = Sequence[tuple[str, str]]
Blocks = Generator[bytes, None, None]

_ASK_FIRST: Final = 128 * 1024
"""From this size on a body waits for the server's 100 (Continue): RFC 9110, section 10.1.1."""

CONTINUE_SECONDS: Final = 2.0
"""How long that is waited for, usually; a server that does not know the expectation never sends it."""

_MAX_INFORMATIONAL: Final = 20
"""Interim answers (RFC 9110, section 15.2) before a final one; a server has use for one or two."""

_STALL_SECONDS: Final = 60.0

COMMIT_SECONDS: Final = 600.0
"""For the answer to a body: the server first brings all of it to its disk."""


class Body(Protocol):
    """What is sent with a request: ``length`` octets.

    ``patience``: for how many seconds the server's leave to send it is waited for.
    """

    length: int
    patience: float

    def blocks(self) -> Iterator[memoryview]:
        """The octets; each block is used up before the next is asked for."""


@dataclass(frozen=True, slots=True)
class Head:
    """An answer's status and fields, the names in lower case."""

    status: int
    fields: Mapping[str, str]

    @property
    def length(self) -> int | None:
        """The length of the body, where it is announced."""
        text = self.fields.get("content-length", "")
        return int(text) if text.isdecimal() and len(text) < 20 else None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its whole body."""

    head: Head
    body: bytes


class Connection:
    """A client's end; all that goes wrong is raised as `KeysteadError`, problems of the server included."""

    def __init__(self, address: ServerAddress, context: MutualContext, clock: Clock) -> None:
        self.address = address
        self.context = context
        self._clock = clock
        self._channel: Channel | None = None
        self._aborted = threading.Event()

    @property
    def is_aborted(self) -> bool:
        """Whether `abort` was called."""
        return self._aborted.is_set()

    def wait(self, seconds: float) -> None:
        """Wait, or until `abort`."""
        self._aborted.wait(seconds)

    def ask(
        self,
        method: str,
        target: str,
        fields: Fields = (),
        body: Body | None = None,
        limit: int = MAX_DOCUMENT,
    ) -> Answer:
        """The answer to one request, its body at most ``limit`` octets."""
        head, blocks = self._exchange(method, target, fields, body)
        return Answer(head, _whole(blocks, limit))

    def stream(self, target: str, fields: Fields = ()) -> tuple[Head, Blocks]:
        """The head of the answer to a GET, and its body in blocks, to be read to the end or closed."""
        return self._exchange("GET", target, fields, None)

    def server_chain(self) -> tuple[x509.Certificate, ...]:
        """The server's chain, verified anew: raises `Distrusted` where it has been revoked meanwhile."""
        with self._explained():
            return self.context.admit(self._open().tls).certificates

    def close(self) -> None:
        """Hang up; the next request connects again."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def abort(self) -> None:
        """End what another thread is doing with this connection."""
        self._aborted.set()
        channel = self._channel
        if channel is not None:
            channel.abort()

    def _exchange(self, method: str, target: str, fields: Fields, body: Body | None) -> tuple[Head, Blocks]:
        with self._explained():
            channel = self._open()
            head = self._request(channel, method, target, fields, body)
        blocks = self._blocks(channel, head)
        if head.status >= 400:
            raise _problem(head, _whole(blocks, MAX_DOCUMENT), self.address)
        return head, blocks

    def _open(self) -> Channel:
        if self._channel is not None and self._channel.is_readable():
            self.close()  # what comes unasked on an idle connection is its end
        if self._channel is None:
            self._channel = Channel(self.address, self.context)
        return self._channel

    def _request(self, channel: Channel, method: str, target: str, fields: Fields, body: Body | None) -> Head:
        all_fields = [("Host", self.address.authority), ("User-Agent", "keystead"), *fields]
        if body is not None:
            all_fields.append(("Content-Length", str(body.length)))
            if body.length >= _ASK_FIRST:
                all_fields.append(("Expect", "100-continue"))
        try:
            channel.send(h11.Request(method=method, target=target, headers=all_fields))
            early = _send_body(channel, body) if body is not None else None
            if early is None:
                channel.send(h11.EndOfMessage())
        except OSError as error:
            early = _last_words(channel, error)
        return early or _head(channel, _STALL_SECONDS if body is None else COMMIT_SECONDS)

    def _blocks(self, channel: Channel, head: Head) -> Blocks:
        remaining, is_whole = head.length, False
        try:
            while not is_whole:
                with self._explained():
                    event = channel.receive(_STALL_SECONDS, remaining or 1)
                if isinstance(event, h11.Data):
                    if remaining is not None:
                        remaining -= len(event.data)
                    yield bytes(event.data)
                else:
                    is_whole = isinstance(event, h11.EndOfMessage)
        finally:
            if self._channel is channel and not (is_whole and channel.is_reusable()):
                self.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors of the body come out in words, and end the connection."""
        try:
            with explained(self._attempt):
                yield
        except h11.RemoteProtocolError as error:
            self.close()
            raise _no_answer(self.address, str(error)) from None
        except BaseException:
            self.close()
            raise

    def _attempt(self) -> Attempt:
        return Attempt(self.address.host, self.address.port, self.context.credentials, self._clock())


def _go_ahead(channel: Channel, seconds: float) -> Head | None:
    """Wait for leave to send the body; the answer's head where that comes instead."""
    try:
        event = channel.receive(seconds)
    except TimeoutError:
        return None
    return None if isinstance(event, h11.InformationalResponse) else _as_head(event)


def _send_body(channel: Channel, body: Body) -> Head | None:
    """Send it; the answer's head where that comes before the end."""
    if body.length >= _ASK_FIRST and (head := _go_ahead(channel, body.patience)) is not None:
        return head
    for block in body.blocks():
        channel.send(h11.Data(data=block))  # type: ignore[arg-type]  # passed through as it is
        event = channel.poll()
        if event is not None and not isinstance(event, h11.InformationalResponse):
            return _as_head(event)
    return None


def _last_words(channel: Channel, error: OSError) -> Head:
    """The answer of a server that has stopped reading, or the alert (raised); without any, ``error``."""
    try:
        return _head(channel, CONTINUE_SECONDS)
    except ssl.SSLError as reason:
        raise (reason if alert_of(reason) is not None else error) from None
    except (OSError, h11.RemoteProtocolError):
        raise error from None


def _head(channel: Channel, seconds: float) -> Head:
    for _ in range(_MAX_INFORMATIONAL):
        event = channel.receive(seconds)
        if not isinstance(event, h11.InformationalResponse):
            return _as_head(event)
    raise h11.RemoteProtocolError("there is no end to its interim answers")


def _as_head(event: h11.Event) -> Head:
    if not isinstance(event, h11.Response):
        raise h11.RemoteProtocolError("the connection was closed before an answer came")
    fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
    return Head(event.status_code, fields)


def _whole(blocks: Blocks, limit: int) -> bytes:
    body = bytearray()
    for block in blocks:
        body += block
        if len(body) > limit:
            blocks.close()
            raise BadInput(
                "the server's answer is too long",
                why=f"at most {limit:,} octets are read here",
                mend="check that the address is that of a keystead serve (--to URL)",
                code="bad-answer",
            )
    return bytes(body)


def _problem(head: Head, body: bytes, address: ServerAddress) -> KeysteadError:
    try:
        return Problem.parse(body, head.status).as_error()
    except BadInput:
        return Unavailable(
            f"the server {address.authority} answered with status {head.status}",
            why="it does not say why, as a keystead serve would",
            mend="check the address (--to URL); the reason stands in the server's log",
            code=f"http-{head.status}",
        )


def _no_answer(address: ServerAddress, why: str) -> Unavailable:
    return Unavailable(
        f"the server {address.authority} gave no answer that is HTTP/1.1",
        why=why,
        mend="try again; if it stays so, check the address (--to URL) and the server's log",
        code="no-answer",
    )
