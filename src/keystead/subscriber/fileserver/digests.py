"""A stored file's SHA-256, remembered beside it, so that serving a file does not mean reading it twice.

It lies in an extended attribute, for that is written before the file appears and moves with it in the one
rename: a sidecar would be a second file that can be lost, left behind or out of step. Size and time of
change stand beside the digest, so that one of a file edited by hand is noticed and made anew. Where the
file system has no such attributes, the process remembers.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections import OrderedDict
from typing import Final, Protocol

_ATTRIBUTE: Final = "user.keystead.sha256"
_REMEMBERED: Final = 10_000
_BLOCK: Final = 1 << 20
_DIGEST: Final = re.compile(rb"[0-9a-f]{64}")


class Hash(Protocol):
    """What `hashlib` makes: fed with octets, it gives their digest."""

    def update(self, data: bytes, /) -> None:
        """Feed it."""

    def digest(self) -> bytes:
        """The digest of all that it was fed with."""


class Digests:
    """The digests of open files. Thread-safe; takes descriptors, so that names cannot be exchanged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._remembered: OrderedDict[bytes, bytes] = OrderedDict()

    def remember(self, descriptor: int, digest: bytes) -> None:
        """Note that the file as it is now has this SHA-256."""
        stamp = _stamp(descriptor)
        try:
            os.setxattr(descriptor, _ATTRIBUTE, digest.hex().encode() + b" " + stamp.partition(b" ")[2])
        except OSError:
            with self._lock:
                self._remembered[stamp] = digest
                while len(self._remembered) > _REMEMBERED:
                    self._remembered.popitem(last=False)

    def of(self, descriptor: int) -> bytes:
        """The SHA-256 of the file: as noted, or by reading all of it once."""
        return self.recall(descriptor) or self._make(descriptor)

    def recall(self, descriptor: int) -> bytes | None:
        """The SHA-256 of the file as noted; None where it would have to be read."""
        stamp = _stamp(descriptor)
        try:
            noted = os.getxattr(descriptor, _ATTRIBUTE)
        except OSError:
            with self._lock:
                return self._remembered.get(stamp)
        digest, _, state = noted.partition(b" ")
        if state != stamp.partition(b" ")[2] or not _DIGEST.fullmatch(digest):
            return None
        return bytes.fromhex(digest.decode("ascii"))

    def _make(self, descriptor: int) -> bytes:
        digest = hash_of(descriptor, os.fstat(descriptor).st_size).digest()
        self.remember(descriptor, digest)
        return digest


def hash_of(descriptor: int, size: int) -> Hash:
    """The SHA-256 of a file's first ``size`` octets, to go on with."""
    hasher, offset = hashlib.sha256(), 0
    while block := os.pread(descriptor, min(_BLOCK, size - offset), offset):
        hasher.update(block)
        offset += len(block)
    return hasher


def _stamp(descriptor: int) -> bytes:
    """Which file, and then its state: size and time of change."""
    status = os.fstat(descriptor)
    return f"{status.st_dev}:{status.st_ino} {status.st_size} {status.st_mtime_ns}".encode()
