"""One process at a time: an advisory lock on a file, with a deadline, telling who holds it.

Not here: the database's own locks. The lock ends with the process that holds it, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from keystead.errors import Unavailable
from keystead.machine.files import PRIVATE
from keystead.machine.oserrors import told

_POLL = 0.05
_HOLDER_LIMIT = 200


@contextmanager
def hold(path: Path, purpose: str, *, wait: timedelta = timedelta(seconds=10)) -> Iterator[None]:
    """Hold the lock file ``path`` (made where missing) for the time of the body.

    ``purpose`` ("ca init of dev") is what others are told while they wait. Raises `Unavailable` where the
    lock is not had within ``wait``.
    """
    with told(path, "lock"):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
    try:
        _acquire(descriptor, path, wait)
        with told(path, "lock"):  # it may be a pipe, or the disk full
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()}: {purpose}".encode()[:_HOLDER_LIMIT], 0)
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Lock the open file until it is closed: whether that was to be had at once.

    Some network file systems know no locks: there it is True.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _acquire(descriptor: int, path: Path, wait: timedelta) -> None:
    deadline = time.monotonic() + wait.total_seconds()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise _held(descriptor, path, wait) from None
            time.sleep(_POLL)
        except OSError as error:
            raise Unavailable(f"cannot lock {path}", why=error.strerror or str(error)) from error
        else:
            return


def _held(descriptor: int, path: Path, wait: timedelta) -> Unavailable:
    holder = os.pread(descriptor, _HOLDER_LIMIT, 0).decode(errors="replace") or "another process"
    return Unavailable(
        f"{path} is locked",
        why=f"held for more than {wait.total_seconds():g} s by {holder}",
        mend="wait for it to end, then run the command again",
        code="locked",
    )
