"""Answers as HTTP has them: which status an error gets, problem documents, and a file streamed to its reader.

Not here: what is answered to what (`app`).
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from keystead.errors import KeysteadError
from keystead.subscriber.fileserver.conditions import Span
from keystead.subscriber.fileserver.shelf import OpenFile
from keystead.wire.files import digest_field
from keystead.wire.problems import MEDIA_TYPE, Problem

BLOCK: Final = 256 * 1024
"""Octets that are read, or gathered to be written, at once."""

_STATUS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "bad-file-name": 400,
        "bad-tus-field": 400,
        "bad-checksum": 400,
        "bad-digest": 400,
        "digest-mismatch": 400,
        "partial-upload": 400,
        "no-such-file": 404,
        "no-such-upload": 404,
        "offset-conflict": 409,
        "precondition-failed": 412,
        "tus-version": 412,
        "too-large": 413,
        "beyond-length": 413,
        "content-encoding": 415,
        "chunk-type": 415,
        "upload-busy": 423,
        "checksum-mismatch": 460,
        "too-many-uploads": 507,
        "quota-used-up": 507,
        "disk-full": 507,
    }
)
"""The error's code → the status of the answer (RFC 9110, section 15; 423 and 507: RFC 4918, section 11; 460:
tus)."""

_FULL: Final = ("disk-full", "the server has no room for this file", "its disk is full")
_OF_THE_DISK: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EROFS: ("disk-read-only", "the server cannot keep this file", "its disk is read-only"),
}
"""What a client is told where the server's disk says no: code, what, why."""

_PLAIN: Final = {"x-content-type-options": "nosniff"}

_AS_DATA: Final = {
    **_PLAIN,
    # A browser with a client certificate must never run what somebody uploaded.
    "content-type": "application/octet-stream",
    "content-disposition": "attachment",
    "content-security-policy": "sandbox",
    "cache-control": "private, no-cache",
    "accept-ranges": "bytes",
}


CLIENT_GONE: Final = Response(status_code=499)
"""Nobody reads it; the access log says by it, as nginx does, that the client went away."""


def problem(error: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem document as an answer."""
    return Response(error.to_json(), error.status, {**_PLAIN, **(headers or {})}, MEDIA_TYPE)


def as_json(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON as an answer."""
    return Response(body, status, {**_PLAIN, **(headers or {})}, "application/json")


async def on_error(request: Request, error: Exception) -> Response:
    """The answer to one of our own errors."""
    assert isinstance(error, KeysteadError)
    if isinstance(error.__cause__, OSError) and error.__cause__.errno in _OF_THE_DISK:
        return await on_disk_error(request, error.__cause__)
    return problem(Problem.from_error(error, _STATUS.get(error.code, 500)))


async def on_http_error(request: Request, error: Exception) -> Response:
    """The answer where nothing fits the path or the method."""
    assert isinstance(error, HTTPException)
    what = f"{request.method} is not done here" if error.status_code == 405 else "there is nothing here"
    mend = "files lie under /files/NAME, their list is GET /files/, and GET /whoami says who you are"
    code = "method" if error.status_code == 405 else "no-such-path"
    return problem(Problem(error.status_code, code, what, "", mend), error.headers)


async def on_disk_error(_: Request, error: Exception) -> Response:
    """The answer where the disk says no. Its words name paths of the server: they are not for the client."""
    assert isinstance(error, OSError)
    if error.errno not in _OF_THE_DISK:
        raise error
    code, what, why = _OF_THE_DISK[error.errno]
    return problem(Problem(507, code, what, why, "tell whoever runs the server, or send it later"))


async def on_mistake(_: Request, __: Exception) -> Response:
    """The answer to an error that nobody foresaw; the engine then logs it whole."""
    what = "the server stumbled over a mistake of its own"
    return problem(Problem(500, "failed", what, "", "tell whoever runs the server; its log says more"))


class FileAnswer(Response):
    """A stored file, or a span of it, read in blocks off the loop, one ahead; closes the file at the end."""

    def __init__(self, file: OpenFile, span: Span | None) -> None:
        self._file = file
        self._span = span or Span(0, file.entry.size)
        headers = {**_AS_DATA, "etag": file.etag, "repr-digest": digest_field(file.entry.sha256)}
        headers["content-length"] = str(self._span.length)
        if span is not None:
            headers["content-range"] = span.content_range(file.entry.size)
        super().__init__(None, 200 if span is None else 206, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; ends early where the reader has gone."""
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            if scope["method"] == "HEAD" or not self._span.length:
                await send({"type": "http.response.body", "body": b""})
            elif (whole := self._at_hand()) is not None:
                await send({"type": "http.response.body", "body": whole})
            else:
                await self._send_body(receive, send)
        finally:
            self._file.close()

    def _at_hand(self) -> bytes | None:
        """A small answer whose octets lie in memory: to ask a thread for them costs more than they do."""
        if self._span.length > BLOCK:
            return None
        buffer = bytearray(self._span.length)
        try:
            octets = os.preadv(self._file.descriptor, [buffer], self._span.start, os.RWF_NOWAIT)
        except OSError:  # they lie on the disk, or this file system cannot tell
            return None
        return bytes(buffer) if octets == len(buffer) else None

    async def _send_body(self, receive: Receive, send: Send) -> None:
        # An engine that drops what a gone reader is sent would let us read the whole file for nobody.
        gone = asyncio.ensure_future(_disconnected(receive))
        loop = asyncio.get_running_loop()
        position, end = self._span.start, self._span.start + self._span.length
        reading = loop.run_in_executor(None, self._read, position, end)
        try:
            while not gone.done():
                block = await reading
                position += len(block)
                if position < end:
                    reading = loop.run_in_executor(None, self._read, position, end)
                await send({"type": "http.response.body", "body": block, "more_body": position < end})
                if position >= end:
                    return
        finally:
            gone.cancel()
            await asyncio.wait([reading])  # before the descriptor is closed

    def _read(self, position: int, end: int) -> bytes:
        block = os.pread(self._file.descriptor, min(BLOCK, end - position), position)
        if not block:
            raise RuntimeError("a stored file became shorter while it was read")
        return block


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
