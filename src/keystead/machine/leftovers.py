"""Temporary files: how they are made, how those beside a target are named, and what a killed writer left.

A writer locks its temporary file until it is renamed; of a killed writer's the kernel drops the lock. So a
later write into the same folder may remove whatever is not locked. Not here: writing (`files`).
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

_NAME_OCTETS = 200
_NAME = re.compile(r"\..+\.[0-9a-f]{12}\.tmp", re.DOTALL)
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PROBE = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def make(path: str | Path, mode: int) -> int:
    """The descriptor of a new file at ``path``, to read and to write. The umask takes from ``mode``.

    Raises `FileExistsError` where anything is there, a link too; any other `OSError`.
    """
    return os.open(path, _NEW, mode)


def temporary_name(name: str) -> str:
    """A new name for what is to become ``name``: hidden, and nobody else's."""
    return f".{name[:_NAME_OCTETS]}.{secrets.token_hex(6)}.tmp"


def begin(folder: str, name: str, mode: int) -> tuple[int, str]:
    """Make the temporary file of what is to become ``name`` in ``folder``, locked: its descriptor and path.

    The umask takes from ``mode``. Raises `OSError`.
    """
    while True:
        beside = os.path.join(folder, temporary_name(name))  # noqa: PTH118 - a batch makes thousands: text is quicker
        descriptor = make(beside, mode)
        if is_taken(descriptor, beside):
            return descriptor, beside
        os.close(descriptor)


def is_taken(descriptor: int, path: str) -> bool:
    """Lock the temporary file just made at ``path``; False where a sweep was quicker and has removed it."""
    with suppress(OSError):  # some network file systems know no locks; a sweep removes nothing there
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return os.path.lexists(path)


def sweep(folder: str | Path) -> None:
    """Remove the temporary files in ``folder`` whose writers are gone; what cannot be removed stays."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - of ten thousand names, a few are looked at
    except OSError:
        return
    for name in names:
        if name.endswith(".tmp") and _NAME.fullmatch(name):
            remove_if_abandoned(Path(folder, name))


def remove_if_abandoned(path: Path) -> bool:
    """Remove the file at ``path`` unless somebody has it locked; whether it is gone by that."""
    try:
        descriptor = os.open(path, _PROBE)
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
