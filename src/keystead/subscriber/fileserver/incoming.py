"""A file while it is being received: under a hidden new name, hashed as it comes, gone unless it is kept.

Not here: limits (`limits`), and under which name it is kept (`shelf`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from keystead.errors import BadInput
from keystead.machine.files import PRIVATE

_PREFIX: Final = ".incoming-"
_TOKEN: Final = 8
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Incoming:
    """A file that is not visible yet. Blocks; methods may be called from any thread, one after another.

    ``discard`` may come at any moment, also while another thread writes: what comes after it does nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.descriptor = os.open(path, _NEW, PRIVATE)
        with suppress(OSError):  # some network file systems know no locks
            fcntl.flock(self.descriptor, fcntl.LOCK_SH)  # so that another server's sweep leaves it alone
        self._hash = hashlib.sha256()
        self._lock = threading.Lock()
        self._is_open = True

    def write(self, blocks: Sequence[bytes]) -> None:
        """Append ``blocks``."""
        with self._lock:
            if not self._is_open:
                return
            for block in blocks:
                self._hash.update(block)
                view = memoryview(block)
                while view:
                    view = view[os.write(self.descriptor, view) :]
                self.size += len(block)

    def digest(self) -> bytes:
        """The SHA-256 of what was written."""
        return self._hash.digest()

    def check(self, wanted: bytes) -> None:
        """Raise `BadInput` unless ``wanted`` is the digest."""
        if wanted != self.digest():
            raise BadInput(
                "the file did not arrive as it was sent",
                why=f"its SHA-256 was to be {wanted.hex()}, and what arrived has {self.digest().hex()}",
                mend="send it again; if that does not help, it changed while it was read",
                code="digest-mismatch",
            )

    def discard(self) -> None:
        """Remove it, unless it was kept."""
        with self._lock:
            if self._is_open:
                self._is_open = False
                os.close(self.descriptor)
                self.path.unlink(missing_ok=True)  # gone already where it was kept


def begin(folder: Path) -> Incoming:
    """A new file in ``folder``, under a name that nobody asks for."""
    return Incoming(folder / f"{_PREFIX}{secrets.token_hex(_TOKEN)}")


def sweep(folder: Path) -> int:
    """Remove what a killed server left in ``folder``, but nothing that one still writes; how many it was."""
    return sum(_remove_if_abandoned(path) for path in folder.glob(_PREFIX + "[0-9a-f]" * 2 * _TOKEN))


def _remove_if_abandoned(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
