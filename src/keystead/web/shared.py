"""What worker processes share: a memory with a row for each of them, two locks, and the log's descriptor.

The memory is an anonymous file (memfd) that all inherit; a dead worker's row is cleared by the supervisor. A
lock on a region of it is the kernel's (`fcntl`), and ends with its holder. Not here: what a row holds
(`web.places`), and what a line says (`web.log`).
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from hashlib import blake2b
from mmap import mmap
from threading import RLock
from types import TracebackType

_SALT = 16
_CELLS = 32 * 1024
"""Of a row, each an unsigned integer; pages that nobody writes to take no room."""

_CELL = 4
"""Octets of one."""

_SAID = 32
_SAID_OCTETS = 16
"""Remarks that are remembered: a digest, who made it, and when."""

_REPEATED_SECONDS = 30.0
"""Within it the same remark of another worker is the same remark."""

_COUNTING, _WRITING = range(2)
"""The octets of the memory that are locked; each stands for one kind of step."""

PATIENCE_SECONDS = 1.0
"""For a lock that another process holds: a step takes microseconds."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.000_05, 0.002
"""Between two tries, seconds."""


class Memory:
    """The memory: ``workers`` rows of cells. The first process makes it, the others map what they inherit."""

    def __init__(self, descriptor: int, workers: int) -> None:
        self.descriptor = descriptor
        self.workers = workers
        self._map = mmap(descriptor, _octets(workers))
        self._octets = memoryview(self._map)
        self.salt = bytes(self._octets[:_SALT])
        self._said = self._octets[_SALT : _SALT + _SAID * _SAID_OCTETS]
        self._rows = self._octets[_SALT + _SAID * _SAID_OCTETS :].cast("I")
        self.counting = Lock(descriptor, _COUNTING)
        self.writing = Lock(descriptor, _WRITING)

    @classmethod
    def create(cls, workers: int) -> Memory:
        """A new one, all of it zero but for the salt."""
        descriptor = os.memfd_create("keystead-serve", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, _octets(workers))
        os.pwrite(descriptor, secrets.token_bytes(_SALT), 0)
        return cls(descriptor, workers)

    def row(self, worker: int) -> memoryview:
        """The cells of ``worker``, counted from 0."""
        return self._rows[worker * _CELLS : (worker + 1) * _CELLS]

    def clear(self, worker: int) -> None:
        """Give back all that a worker held which is no more."""
        with self.counting:
            self.row(worker)[:] = memoryview(bytes(_CELLS * _CELL)).cast("I")

    def is_new(self, worker: int, remark: str) -> bool:
        """Whether no other worker has made this remark within the last half minute; ``worker`` has now.

        To be asked while holding `writing`.
        """
        digest = blake2b(remark.encode(), digest_size=7, key=self.salt).digest()
        now = int(time.monotonic() * 1000)  # of the machine: the same clock for all processes
        entries = [
            self._said[start : start + _SAID_OCTETS] for start in range(0, len(self._said), _SAID_OCTETS)
        ]
        place = next((entry for entry in entries if bytes(entry[:7]) == digest), None)
        if place is None:
            place = min(entries, key=_milliseconds)
        elif place[7] != worker and now - _milliseconds(place) < _REPEATED_SECONDS * 1000:
            return False
        place[:] = digest + bytes([worker]) + now.to_bytes(8)
        return True


def _octets(workers: int) -> int:
    return _SALT + _SAID * _SAID_OCTETS + workers * _CELLS * _CELL


def _milliseconds(entry: memoryview) -> int:
    return int.from_bytes(entry[8:])


class Lock:
    """Held by one process at a time, and within it by one thread, which may take it again.

    Nobody waits for ever: a holder may be stopped (SIGSTOP), or hostile. Whoever has waited
    `PATIENCE_SECONDS` in vain goes on without (``is_held`` says so), and waits no more until it is to be had
    again.
    """

    def __init__(self, descriptor: int, region: int) -> None:
        self._descriptor = descriptor
        self._region = region
        self._within = RLock()
        self._depth = 0
        self._is_stuck = False
        self.is_held = False

    def __enter__(self) -> None:
        self._within.acquire()
        self._depth += 1
        if self._depth == 1:
            self.is_held = self._try() or (not self._is_stuck and self._wait())
            self._is_stuck = not self.is_held

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth and self.is_held:
            self.is_held = False
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, self._region)
        self._within.release()

    def _try(self) -> bool:
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._region)
        except BlockingIOError:
            return False
        return True

    def _wait(self) -> bool:
        end, pause = time.monotonic() + PATIENCE_SECONDS, _FIRST_PAUSE
        while time.monotonic() < end:
            time.sleep(pause)
            if self._try():
                return True
            pause = min(2 * pause, _LONGEST_PAUSE)
        return False


class SharedStream:
    """A descriptor that several processes write lines to: one at a time, each line whole.

    Where one of them is stopped in mid-line, the others write all the same: a long line may then be torn.
    """

    def __init__(self, descriptor: int, lock: Lock) -> None:
        self._descriptor = descriptor
        self._lock = lock

    def write(self, text: str) -> int:
        """Write all of ``text``."""
        rest = memoryview(text.encode())
        with self._lock:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""
