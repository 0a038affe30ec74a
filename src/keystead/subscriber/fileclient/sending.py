"""Sending one file: hashed while it is sent, and compared with what the server says that it got."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from keystead.errors import BadInput
from keystead.machine.oserrors import told
from keystead.subscriber.fileclient.channel import BLOCK
from keystead.subscriber.fileclient.connection import Connection
from keystead.wire.files import Receipt, check_file_name, target_of

Report = Callable[[int], None]
"""Is told how many octets more have gone or come."""

_INLINE: Final = 64 * 1024
"""Up to here a thread costs more than the hash."""


def size_of(path: Path) -> int:
    """The size of ``path``, which must be a file that can be sent; raises `KeysteadError`."""
    check_file_name(path.name)
    with told(path, "send"):
        status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(
            f"{path} is not sent",
            why="it is a folder" if stat.S_ISDIR(status.st_mode) else "it is no ordinary file",
            mend=f"name the files in it: {path}/*"
            if stat.S_ISDIR(status.st_mode)
            else "copy it to a file first",
            code="not-a-file",
        )
    return status.st_size


def send(connection: Connection, path: Path, report: Report) -> Receipt:
    """Send the file ``path`` under its name; the server's receipt, compared with what was sent.

    Raises `KeysteadError`; the server then keeps what it had before, except where it keeps something else
    than was sent (``digest-mismatch``), which is said.
    """
    size_of(path)
    with _opened(path) as body:
        answer = connection.ask("PUT", target_of(path.name), _FIELDS, _Reported(body, report))
        receipt = Receipt.parse(answer.body)
        if (receipt.size, receipt.sha256) != (body.length, body.digest()):
            raise BadInput(
                f"{path} did not arrive as it was sent",
                why=f"its SHA-256 is {body.digest().hex()}, and the server has {receipt.sha256.hex()}",
                mend="send it again; do not trust what the server has under that name",
                code="digest-mismatch",
            )
    return receipt


_FIELDS: Final = (("Content-Type", "application/octet-stream"),)


class _HashedFile:
    """A file's octets in two buffers by turns: while one is being sent, it is hashed on a thread."""

    def __init__(self, descriptor: int, path: Path, hasher: ThreadPoolExecutor) -> None:
        self.length = os.fstat(descriptor).st_size
        self._descriptor = descriptor
        self._path = path
        self._hasher = hasher
        self._hash = hashlib.sha256()

    def digest(self) -> bytes:
        """The SHA-256 of what was sent."""
        return self._hash.digest()

    def blocks(self) -> Iterator[memoryview]:
        """The octets."""
        buffers = [memoryview(bytearray(min(BLOCK, self.length))) for _ in range(2)]
        hashing: Future[None] | None = None
        sent = turn = 0
        while sent < self.length:
            block = self._read(buffers[turn][: self.length - sent])
            if hashing is not None:
                hashing.result()
            hashing = self._hashed(block)
            yield block
            sent += len(block)
            turn = 1 - turn
        if hashing is not None:
            hashing.result()

    def _hashed(self, block: memoryview) -> Future[None] | None:
        if len(block) > _INLINE:
            return self._hasher.submit(self._hash.update, block)
        self._hash.update(block)
        return None

    def _read(self, buffer: memoryview) -> memoryview:
        with told(self._path, "read"):
            octets = os.readv(self._descriptor, [buffer])
        if not octets:
            raise BadInput(
                f"{self._path} became shorter while it was sent",
                why="something else writes to it; the server keeps nothing of it",
                mend="send it again when it is finished",
                code="changed",
            )
        return buffer[:octets]


class _Reported:
    """A body whose progress is reported."""

    def __init__(self, body: _HashedFile, report: Report) -> None:
        self.length = body.length
        self._body = body
        self._report = report

    def blocks(self) -> Iterator[memoryview]:
        """The octets."""
        for block in self._body.blocks():
            yield block
            self._report(len(block))


@contextmanager
def _opened(path: Path) -> Iterator[_HashedFile]:
    with told(path, "read"):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with ThreadPoolExecutor(1) as hasher:
            yield _HashedFile(descriptor, path, hasher)
    finally:
        os.close(descriptor)
