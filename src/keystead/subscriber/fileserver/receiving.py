"""A request's body on its way to the disk: gathered into blocks, hashed and written on a thread, one behind.

While a block is written the next is decrypted, so that an upload takes as long as the slower of the two.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from keystead.errors import BadInput
from keystead.subscriber.fileserver.answers import BLOCK
from keystead.subscriber.fileserver.incoming import Incoming, begin
from keystead.subscriber.fileserver.limits import Admission
from keystead.wire.files import parse_digest_field

_MOST: Final = 4 * BLOCK
"""Octets gathered while the disk is busy: fewer and larger blocks for a fast sender. A slow one, of whom
there may be many, never gathers more than `BLOCK`."""


def check_headers(headers: Headers) -> None:
    """Raise `BadInput` for a body that is not simply the whole file."""
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise BadInput(
            "an encoded body is not taken",
            why=f"Content-Encoding is {headers['content-encoding']!r}; what is stored is what is hashed",
            mend="send the file as it is",
            code="content-encoding",
        )
    if "content-range" in headers:  # RFC 9110, section 14.5
        raise BadInput("a part of a file is not taken", mend="send it whole", code="partial-upload")


def announced_length(headers: Headers) -> int:
    """Octets that are to come, as far as they are announced. The door has seen to it that it is a number."""
    digits = headers.get("content-length", "")
    return int(digits.lstrip("0") or "0")  # Python converts no more than 4,300 digits at once


def wanted_digests(headers: Headers, *names: str) -> tuple[bytes, ...]:
    """The SHA-256s in the fields ``names`` (RFC 9530); raises `BadInput` for one that is malformed."""
    return tuple(parse_digest_field(value) for name in names for value in headers.getlist(name))


@asynccontextmanager
async def receiving(folder: Path) -> AsyncIterator[Incoming]:
    """A new file in ``folder`` for the time of the body; afterwards it is gone unless it was renamed."""
    file = await asyncio.to_thread(begin, folder)
    try:
        yield file
    finally:
        # Off the loop, for a large file takes a while to go; to the end, also where the request is cancelled.
        await asyncio.shield(asyncio.to_thread(file.discard))


async def receive_into(file: Incoming, body: AsyncIterator[bytes], admission: Admission) -> None:
    """Write ``body`` to ``file``, as far as ``admission`` lets it; raises what either does.

    Of a body that breaks off, all that came is written.
    """
    loop = asyncio.get_running_loop()
    writing: asyncio.Future[None] | None = None
    gathered: list[bytes] = []
    size = 0
    try:
        async for chunk in body:
            gathered.append(chunk)
            size += len(chunk)
            is_idle = writing is None or writing.done()
            if size >= _MOST or (size >= BLOCK and is_idle):
                if writing is not None:
                    await writing
                writing = loop.run_in_executor(None, _write, file, gathered, admission)
                gathered, size = [], 0
        await _write_last(writing, file, gathered, admission)
    except ClientDisconnect:
        await _write_last(writing, file, gathered, admission)
        raise
    finally:
        if writing is not None:
            await asyncio.wait([writing])


async def _write_last(
    writing: asyncio.Future[None] | None, file: Incoming, blocks: Sequence[bytes], admission: Admission
) -> None:
    if writing is not None:
        await writing
    await asyncio.get_running_loop().run_in_executor(None, _write, file, blocks, admission)


def _write(file: Incoming, blocks: Sequence[bytes], admission: Admission) -> None:
    admission.grow(sum(map(len, blocks)))
    file.write(blocks)
