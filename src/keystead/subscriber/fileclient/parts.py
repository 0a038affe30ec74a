"""What has come of a file so far: beside its place, hidden, mode 0600, named by the SHA-256 of the whole.

So a later `get` goes on with it, and never mistakes a part of another state of the file for it. Not here:
asking for the rest (`fetching`).
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from keystead.errors import AlreadyThere, BadInput, Unavailable
from keystead.machine.files import PRIVATE, sync_folder
from keystead.machine.leftovers import make
from keystead.machine.locks import try_lock
from keystead.machine.oserrors import told

_STEM_OCTETS: Final = 180
_SUFFIX: Final = re.compile(r"\.([0-9a-f]{64})\.part")
_OLD: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK: Final = 1 << 20


class Part:
    """The first octets of a file, locked for this process until `close`."""

    def __init__(self, descriptor: int, hidden: Path, wanted: bytes) -> None:
        self.wanted = wanted
        self.size = 0
        self._descriptor = descriptor
        self._hidden = hidden
        self._hash = hashlib.sha256()

    @classmethod
    def begin(cls, path: Path, wanted: bytes) -> Self:
        """An empty one of the file to be at ``path``, whose SHA-256 will be ``wanted``."""
        hidden = _hidden(path, wanted)
        with told(hidden, "write"):
            try:
                descriptor = make(hidden, PRIVATE)
            except FileExistsError:
                raise _busy(path) from None
        if not try_lock(descriptor):  # another one was quicker to go on with it
            os.close(descriptor)
            raise _busy(path)
        return cls(descriptor, hidden, wanted)

    @classmethod
    def find(cls, path: Path) -> Self | None:
        """What an earlier `get` has left of the file to be at ``path``; None where that is nothing.

        Raises `Unavailable` where another `get` is fetching it at this moment.
        """
        for hidden, wanted in sorted(_all(path), key=lambda found: found[1]):
            try:
                descriptor = os.open(hidden, _OLD)
            except OSError:  # gone in this moment; or not ours, or no file at all
                continue
            if not _is_ours(descriptor) or os.fstat(descriptor).st_nlink != 1:
                os.close(descriptor)
            elif not try_lock(descriptor):
                os.close(descriptor)
                raise _busy(path)
            else:
                part = cls(descriptor, hidden, wanted)
                part._read()
                return part
        return None

    def write(self, block: bytes) -> None:
        """Append ``block``."""
        self._hash.update(block)
        view = memoryview(block)
        with told(self._hidden, "write"):
            while view:
                view = view[os.write(self._descriptor, view) :]
        self.size += len(block)

    def check(self, name: str) -> None:
        """Raise `BadInput`, and remove it, where it is not what it was to be."""
        if self._hash.digest() != self.wanted:
            self.discard()
            raise BadInput(
                f"{name!r} did not arrive as the server has it",
                why=f"its SHA-256 was to be {self.wanted.hex()}, and what came has {self._hash.hexdigest()}",
                mend="fetch it again",
                code="digest-mismatch",
            )

    def appear(self, path: Path, *, overwrite: bool) -> None:
        """Give it its name, durably; raises `AlreadyThere` where something has that and is to stay."""
        with told(path, "write"):
            os.fsync(self._descriptor)
            if overwrite:
                self._hidden.replace(path)
            else:
                self._link(path)
            sync_folder(path.parent)

    def _link(self, path: Path) -> None:
        try:
            path.hardlink_to(self._hidden)  # which, other than a rename, spares what has come meanwhile
        except FileExistsError:
            check_absent(path)
            raise
        self._hidden.unlink()

    def discard(self) -> None:
        """Remove it."""
        with suppress(OSError):
            self._hidden.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let others have it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> None:
        """Hash what is there; its last octet goes, so that there always is something left to ask for."""
        with told(self._hidden, "read"):
            size = max(0, os.fstat(self._descriptor).st_size - 1)
            os.ftruncate(self._descriptor, size)
            while block := os.read(self._descriptor, _BLOCK):
                self._hash.update(block)
                self.size += len(block)


def check_absent(path: Path) -> None:
    """Raise `AlreadyThere` where there is something at ``path``."""
    with told(path, "look for"):
        is_there = os.path.lexists(path)
    if is_there:
        raise AlreadyThere(
            f"{path} is already there and is not overwritten",
            mend="move it away, name another folder (--out DIR), or say --overwrite",
        )


def sweep(path: Path) -> None:
    """Remove what earlier fetches have left of the file at ``path``, but nothing that one still writes."""
    for hidden, _ in _all(path):
        with suppress(OSError):
            descriptor = os.open(hidden, _OLD)
            try:
                if _is_ours(descriptor) and try_lock(descriptor):
                    hidden.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def _stem(path: Path) -> str:
    return "." + path.name.encode()[:_STEM_OCTETS].decode("utf-8", "ignore")


def _hidden(path: Path, wanted: bytes) -> Path:
    return path.with_name(f"{_stem(path)}.{wanted.hex()}.part")


def _all(path: Path) -> Iterator[tuple[Path, bytes]]:
    with told(path.parent, "read"):
        names = os.listdir(path.parent)  # noqa: PTH208 - of very many names, a few are looked at
    stem = _stem(path)
    for name in names:
        if name.startswith(stem) and (match := _SUFFIX.fullmatch(name, len(stem))):
            yield path.with_name(name), bytes.fromhex(match[1])


def _is_ours(descriptor: int) -> bool:
    """Whether this account made it, for itself alone: into a shared folder anybody may put what he likes."""
    status = os.fstat(descriptor)
    is_private = stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) == PRIVATE
    return is_private and status.st_uid == os.geteuid()


def _busy(path: Path) -> Unavailable:
    return Unavailable(
        f"{path} is being fetched already",
        why=f"another keystead get is at it, or {_stem(path)}.*.part beside it is not this account's",
        mend="wait until it is done, or name another folder (--out DIR)",
        code="locked",
    )
