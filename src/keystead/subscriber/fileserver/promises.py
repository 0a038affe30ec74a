"""What the uploads that run now were promised of a quota, by whichever process they come to: on the disk.

A promise is a hidden file in the identity's folder that says how much it is, and that its holder keeps
locked: that of a process that was killed is nobody's any more, and is removed. Not here: the quota itself.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from keystead.machine.files import PRIVATE
from keystead.machine.leftovers import make, remove_if_abandoned

_PREFIX: Final = ".promised-"
_TOKEN: Final = 8
_LOCK: Final = ".quota.lock"


class Promise:
    """One upload's; made, raised and read within `counting`. `close` gives it back."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{_PREFIX}{secrets.token_hex(_TOKEN)}"
        self._descriptor = make(self._path, PRIVATE)
        _lock(self._descriptor, fcntl.LOCK_SH)

    def write(self, octets: int) -> None:
        """It is of ``octets`` from now on, which are never fewer than before."""
        os.pwrite(self._descriptor, str(octets).encode("ascii"), 0)

    def close(self) -> None:
        """Nothing is promised any more."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


@contextmanager
def counting(folder: Path) -> Iterator[int]:
    """What is promised in ``folder`` altogether; for the time of the body nobody else promises anything."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
    try:
        _lock(descriptor, fcntl.LOCK_EX)
        yield sum(map(_held, folder.glob(_PREFIX + "[0-9a-f]" * 2 * _TOKEN)))
    finally:
        os.close(descriptor)


def _lock(descriptor: int, how: int) -> None:
    with suppress(OSError):  # some network file systems know no locks
        fcntl.flock(descriptor, how)


def _held(path: Path) -> int:
    """What a promise is of; 0 where nobody holds it any more, and it is then gone."""
    if remove_if_abandoned(path):
        return 0
    try:
        return int(path.read_bytes() or b"0")
    except OSError:  # given back in this moment
        return 0
