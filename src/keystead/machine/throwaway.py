"""A private folder for the time of one command: in memory where there is room, and removed whatever happens.

What a killed command leaves is removed by the next one. Not here: what it is for.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keystead.machine.oserrors import told

_MEMORY = Path("/dev/shm")  # noqa: S108 - on Linux it is memory, which a power cut wipes
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def throwaway(purpose: str, size: int) -> Iterator[Path]:
    """A folder of mode 0700 that takes some ``size`` octets; ``purpose`` is a word of its name."""
    place = _MEMORY if _has_room(_MEMORY, size) else Path(tempfile.gettempdir())
    prefix = f"keystead-{purpose}-"
    for left in {place, _MEMORY}:
        _sweep(left, prefix)
    with told(place, "write"):
        folder, descriptor = _make(place, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _has_room(place: Path, size: int) -> bool:
    try:
        room = os.statvfs(place)
    except OSError:
        return False
    return os.access(place, os.W_OK) and room.f_bavail * room.f_frsize > size


def _make(place: Path, prefix: str) -> tuple[Path, int]:
    """A new folder, and the descriptor by which it is locked until this process ends."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        with suppress(FileNotFoundError):  # a sweep was quicker than the lock
            descriptor = os.open(folder, _FOLDER)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)


def _sweep(place: Path, prefix: str) -> None:
    for folder in place.glob(f"{prefix}*"):
        with suppress(OSError):
            descriptor = os.open(folder, _FOLDER)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
