"""A file that is being sent: read, hashed and sent at once, from its beginning or from further on."""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from keystead.errors import BadInput
from keystead.machine.oserrors import told
from keystead.subscriber.fileclient.channel import BLOCK
from keystead.subscriber.fileclient.connection import CONTINUE_SECONDS
from keystead.subscriber.fileclient.onlooker import Onlooker
from keystead.wire.files import check_file_name

_INLINE: Final = 64 * 1024
"""Up to here a thread costs more than the hash."""

_LARGEST_KEY: Final = 64 * 1024
"""Octets in which a private key is looked for; one with its whole chain in ML-DSA has half of them."""

_SEQUENCE: Final = b"\x30"
"""How DER begins, a PKCS#12 file among it."""


def size_of(path: Path) -> int:
    """The size of ``path``, which must be a file that can be sent; raises `KeysteadError`."""
    with told(path, "send"):
        status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(
            f"{path} is not sent",
            why="it is a folder" if stat.S_ISDIR(status.st_mode) else "it is no ordinary file",
            mend=f"name the files in it: {path / '*'}"
            if stat.S_ISDIR(status.st_mode)
            else "copy it to a file first",
            code="not-a-file",
        )
    check_file_name(path.name)
    return status.st_size


def _refuse_private_key(descriptor: int, path: Path) -> None:
    """Raise `BadInput` where the file is a private key: ``upload certs/*`` names it, too."""
    if os.fstat(descriptor).st_size > _LARGEST_KEY:
        return
    with told(path, "read"):
        data = os.pread(descriptor, _LARGEST_KEY, 0)
    if b"PRIVATE KEY" not in data and not data.startswith(_SEQUENCE):
        return
    from keystead.pki.leaks import holds_private_key  # noqa: PLC0415  OpenSSL is loaded for these few alone

    if holds_private_key(data):
        raise BadInput(
            f"{path} is not sent: it holds a PRIVATE KEY",
            why="a private key never leaves the machine that made it",
            mend="if somebody is to have it all the same, send it sealed:"
            f" age -p -o {shlex.quote(path.name)}.age {shlex.quote(str(path))}",
            code="private-key",
        )


class Source:
    """A file's octets in two buffers by turns: while one is being sent, it is hashed on a thread."""

    def __init__(self, descriptor: int, path: Path, hasher: ThreadPoolExecutor) -> None:
        self.path = path
        self.length = os.fstat(descriptor).st_size
        self.position = 0
        """How many octets `digest` is of."""
        self._descriptor = descriptor
        self._hasher = hasher
        self._hash = hashlib.sha256()
        self._hashing: Future[None] | None = None
        self._buffers = [memoryview(bytearray(min(BLOCK, self.length))) for _ in range(2)]

    def digest(self) -> bytes:
        """The SHA-256 of the octets before `position`."""
        self._catch_up()
        return self._hash.digest()

    def move_to(self, position: int) -> None:
        """Go on from ``position``; what lies before it is read and hashed anew unless that was just done."""
        self._catch_up()
        if position != self.position:
            self.position, self._hash = 0, hashlib.sha256()
            for _ in self.blocks(position):
                pass

    def blocks(self, end: int | None = None) -> Iterator[memoryview]:
        """The octets from `position` on; each block is used up before the next is asked for."""
        end = self.length if end is None else end
        turn = 0
        while self.position < end:
            block = self._read(self._buffers[turn][: end - self.position])
            self._catch_up()
            self._begin_hashing(block)
            self.position += len(block)
            yield block
            turn = 1 - turn
        self._catch_up()

    def _begin_hashing(self, block: memoryview) -> None:
        if len(block) > _INLINE:
            self._hashing = self._hasher.submit(self._hash.update, block)
        else:
            self._hash.update(block)

    def _catch_up(self) -> None:
        hashing, self._hashing = self._hashing, None
        if hashing is not None:
            hashing.result()

    def _read(self, buffer: memoryview) -> memoryview:
        with told(self.path, "read"):
            octets = os.preadv(self._descriptor, [buffer], self.position)
        if not octets:
            raise BadInput(
                f"{self.path} became shorter while it was sent",
                why="something else writes to it; what has arrived of it does not become visible",
                mend="send it again when it is finished",
                code="changed",
            )
        return buffer[:octets]


class Rest:
    """What is left of a source, as the body of a request; its way is told to ``onlooker``."""

    def __init__(self, source: Source, onlooker: Onlooker, patience: float = CONTINUE_SECONDS) -> None:
        self.length = source.length - source.position
        self.patience = patience
        self._source = source
        self._onlooker = onlooker

    def blocks(self) -> Iterator[memoryview]:
        """The octets."""
        for block in self._source.blocks():
            yield block
            self._onlooker.stands_at(self._source.position)


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The file ``path`` for the time of the body; raises `KeysteadError` where it cannot be sent."""
    size_of(path)
    with told(path, "read"):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _refuse_private_key(descriptor, path)
        with ThreadPoolExecutor(1) as hasher:
            yield Source(descriptor, path, hasher)
    finally:
        os.close(descriptor)
