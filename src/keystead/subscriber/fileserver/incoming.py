"""A file while it is being received: under a hidden name, hashed as it comes, not visible until it is kept.

Not here: limits (`limits`), under which name it is kept (`shelf`), and the parts that are gone on with in a
later request (`resumable`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from keystead.errors import BadInput
from keystead.machine.files import PRIVATE
from keystead.machine.leftovers import make, remove_if_abandoned
from keystead.subscriber.fileserver.digests import Hash, hash_of

_PREFIX: Final = ".incoming-"
_TOKEN: Final = 8


class Incoming:
    """A file that is not visible yet. Blocks; methods may be called from any thread, one after another.

    ``close`` and ``discard`` may come at any moment, also while another thread writes: what comes after them
    does nothing. ``running`` is the hash of the ``size`` octets that are there; without it, they are read
    again once their digest is wanted.
    """

    def __init__(self, path: Path, descriptor: int, size: int = 0, running: Hash | None = None) -> None:
        self.path = path
        self.size = size
        self.descriptor = descriptor
        self.also: Mapping[str, Hash] = {}
        """What else is fed with the octets that are written, by its algorithm."""
        self._running = running
        self._lock = threading.Lock()
        self._is_open = True

    def write(self, blocks: Sequence[bytes]) -> None:
        """Append ``blocks``."""
        with self._lock:
            if not self._is_open:
                return
            for block in blocks:
                if self._running is not None:
                    self._running.update(block)
                for hasher in self.also.values():
                    hasher.update(block)
                view = memoryview(block)
                while view:
                    view = view[os.write(self.descriptor, view) :]
                self.size += len(block)

    @property
    def is_hashed(self) -> bool:
        """Whether its digest is at hand without reading it again."""
        return self._running is not None

    def digest(self) -> bytes:
        """The SHA-256 of all that is there."""
        if self._running is None:
            self._running = hash_of(self.descriptor, self.size)
        return self._running.digest()

    def check(self, wanted: bytes) -> None:
        """Raise `BadInput` unless ``wanted`` is the digest."""
        if wanted != self.digest():
            raise BadInput(
                "the file did not arrive as it was sent",
                why=f"its SHA-256 was to be {wanted.hex()}, and what arrived has {self.digest().hex()}",
                mend="send it again; if that does not help, it changed while it was read",
                code="digest-mismatch",
            )

    def close(self) -> None:
        """Let it go; what was written stays."""
        with self._lock:
            if self._is_open:
                self._is_open = False
                os.close(self.descriptor)

    def discard(self) -> None:
        """Remove it, unless it was kept."""
        with self._lock:
            if self._is_open:
                self._is_open = False
                os.close(self.descriptor)
                self.path.unlink(missing_ok=True)  # gone already where it was kept


def begin(folder: Path) -> Incoming:
    """A new file in ``folder``, under a name that nobody asks for."""
    path = folder / f"{_PREFIX}{secrets.token_hex(_TOKEN)}"
    descriptor = make(path, PRIVATE)
    with suppress(OSError):  # some network file systems know no locks
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # so that another server's sweep leaves it alone
    return Incoming(path, descriptor, running=hashlib.sha256())


def sweep(folder: Path) -> int:
    """Remove what a killed server left in ``folder``, but nothing that one still writes; how many it was."""
    return sum(remove_if_abandoned(path) for path in folder.glob(_PREFIX + "[0-9a-f]" * 2 * _TOKEN))
