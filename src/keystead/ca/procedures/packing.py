"""The inside of an archive: a tar (ustar) of the manifest and the files that it lists, in its order.

`tar` reads it. Reading it here takes no parser: every header can be told beforehand, from the table of names
and the manifest's sizes, and must be that one, octet for octet. So no name in an archive is ever a path.
Not here: sealing (`custody.envelope`).
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from keystead.ca.layout import INVENTORY
from keystead.ca.procedures.manifest import MAX_MANIFEST_OCTETS, Manifest, damaged

MANIFEST: Final = "manifest.json"
PIECE = 256 << 10
"""Octets that are held at once of what is not kept in memory."""

_BLOCK = 512
_END = bytes(2 * _BLOCK)


class Spool(Protocol):
    """Where an inventory is written, piece by piece."""

    def write(self, data: bytes, /) -> int:
        """Take all of ``data``; how many octets that are."""


Land = Callable[[Manifest], Spool]
"""Says where the inventory of the archive with this manifest goes, or raises where it is not wanted."""


@dataclass(frozen=True, slots=True)
class Contents:
    """An archive's manifest and its files by name, without the inventory, which went to its spool."""

    manifest: Manifest
    files: Mapping[str, bytes]


class Stream:
    """Pieces of octets, as a file that is read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = b""

    def read(self, size: int) -> bytes:
        """At most ``size`` octets, none at the end."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._left = piece
        taken, self._left = self._left[:size], self._left[size:]
        return taken


def header(name: str, size: int) -> bytes:
    """The block before a file: mode 0600, no owner, no time, so that nothing of it is left to chance."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry.tobuf(tarfile.USTAR_FORMAT)


def pack(manifest: Manifest, files: Mapping[str, bytes], inventory: Iterable[bytes]) -> Iterator[bytes]:
    """The octets of the archive; ``inventory`` are those of its file, in pieces."""
    encoded = manifest.encode()
    yield header(MANIFEST, len(encoded)) + _padded(encoded)
    for file in manifest.files:
        yield header(file.name, file.size)
        if file.name == INVENTORY:
            yield from inventory
            yield bytes(-file.size % _BLOCK)
        else:
            yield _padded(files[file.name])
    yield _END


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK)


class Unpacker:
    """Takes an archive's octets in pieces of any size, and checks all that can be checked of each.

    Raises `BadInput`, naming ``source``, at the first octet that is not as it should be, and what ``land``
    raises, which is asked as soon as the manifest is there.
    """

    def __init__(self, land: Land, source: str) -> None:
        self._source = source
        self._contents: Contents | None = None
        self._buffer = bytearray()
        self._reading = _read(land, source)
        self._wanted = next(self._reading)

    def write(self, data: bytes) -> int:
        """Take the next piece."""
        self._buffer += data
        while self._contents is None and len(self._buffer) >= self._wanted:
            piece = bytes(self._buffer[: self._wanted])
            del self._buffer[: self._wanted]
            self._take(piece)
        if self._contents is not None and self._buffer:
            raise damaged(self._source, "something follows its end")
        return len(data)

    def _take(self, piece: bytes) -> None:
        try:
            self._wanted = self._reading.send(piece)
        except StopIteration as end:
            if end.value is None:  # what ended with an error goes on being wrong
                raise damaged(self._source, "its beginning was refused") from None
            self._contents = end.value

    def flush(self) -> None:
        """Nothing is kept back that could be checked."""

    def contents(self) -> Contents:
        """What came, once all has come."""
        if self._contents is None:
            raise damaged(self._source, "it ends too early")
        return self._contents


def _read(land: Land, source: str) -> Generator[int, bytes, Contents]:
    """Yields how many octets it wants next, and is sent them."""
    block = yield _BLOCK
    size = _size(block, source)
    if block != header(MANIFEST, size):
        raise damaged(source, f"it does not begin with {MANIFEST}")
    manifest = Manifest.decode((yield from _file(size, source)), source)
    spool = land(manifest)
    files: dict[str, bytes] = {}
    for file in manifest.files:
        if (yield _BLOCK) != header(file.name, file.size):
            raise damaged(source, f"{file.name} is not where its manifest says")
        if file.name == INVENTORY:
            digest = yield from _spool(file.size, spool, source)
        else:
            files[file.name] = yield from _file(file.size, source)
            digest = hashlib.sha256(files[file.name]).hexdigest()
        if digest != file.sha256:
            raise damaged(source, f"{file.name} is not the one that its manifest tells of")
    if (yield len(_END)) != _END:
        raise damaged(source, "something follows the files that its manifest lists")
    return Contents(manifest, files)


def _size(block: bytes, source: str) -> int:
    try:
        size = int(block[124:135], 8)
    except ValueError:
        size = -1
    if not 0 <= size <= MAX_MANIFEST_OCTETS:
        raise damaged(source, f"it does not begin with {MANIFEST}")
    return size


def _file(size: int, source: str) -> Generator[int, bytes, bytes]:
    if not size:
        return b""
    padded = yield size + -size % _BLOCK
    if any(padded[size:]):
        raise damaged(source, "a file is not followed by zeros")
    return padded[:size]


def _spool(size: int, spool: Spool, source: str) -> Generator[int, bytes, str]:
    digest, left = hashlib.sha256(), size
    while left:
        piece = yield min(left, PIECE)
        digest.update(piece)
        spool.write(piece)
        left -= len(piece)
    if (padding := -size % _BLOCK) and any((yield padding)):
        raise damaged(source, "a file is not followed by zeros")
    return digest.hexdigest()
