"""What worker processes share: places that are counted together, and whose turn it is to write a line.

One anonymous memory (memfd), inherited by all; a row of it belongs to each worker, so that the supervisor can
clear what a dead one held. A lock on a region of it is the kernel's (`fcntl`), and ends with its holder.
Not here: what a place is (`tls.capacity`), and what a line says (`web.log`).
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from mmap import mmap
from threading import RLock
from types import TracebackType
from typing import Self

_SALT = 16
_CELL = 4
"""Octets of an unsigned integer in the memory."""

_BUCKETS = 8_192
"""Addresses are counted by a salted hash: two share a count with a probability of one in so many."""

_PLEAS = 64
"""A worker that has so many unheard is asked no more."""

_TOTAL, _HALF_OPEN, _PLEADED = range(3)
_PLEA = 3
_HELD = _PLEA + _PLEAS
_HELD_HALF_OPEN = _HELD + _BUCKETS
_ROW = _HELD_HALF_OPEN + _BUCKETS
"""Where in a row, in cells: three counts, the pleas, and two counts for each bucket."""

_ANYBODY = 0
"""A plea for any half-open connection; others are a bucket's number and one."""

_SAID = 32
_SAID_OCTETS = 16
_REPEATED_SECONDS = 30.0
"""Within it the same remark of another worker is the same remark."""

_COUNTING, _WRITING = range(2)
"""The octets of the memory that are locked; each stands for one kind of step."""


class Memory:
    """The memory itself: ``workers`` rows. The first process makes it, the others map what they inherit."""

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
        return self._rows[worker * _ROW : (worker + 1) * _ROW]

    def clear(self, worker: int) -> None:
        """Give back all that a worker held which is no more."""
        with self.counting:
            self.row(worker)[:] = memoryview(bytes(_ROW * _CELL)).cast("I")

    def is_new(self, remark: str) -> bool:
        """Whether no other worker has made this remark within the last half minute; notes that this one has.

        To be asked while holding `writing`.
        """
        digest = blake2b(remark.encode(), digest_size=8, key=self.salt).digest()
        now = int(time.monotonic() * 1000)  # of the machine: the same clock for all processes
        entries = [
            self._said[start : start + _SAID_OCTETS] for start in range(0, len(self._said), _SAID_OCTETS)
        ]
        for entry in entries:
            if bytes(entry[:8]) == digest and now - _milliseconds(entry) < _REPEATED_SECONDS * 1000:
                return False
        oldest = min(entries, key=_milliseconds)
        oldest[:] = digest + now.to_bytes(8)
        return True


def _octets(workers: int) -> int:
    return _SALT + _SAID * _SAID_OCTETS + workers * _ROW * _CELL


def _milliseconds(entry: memoryview) -> int:
    return int.from_bytes(entry[8:])


class Lock:
    """Held by one process at a time, and within it by one thread, which may take it again."""

    def __init__(self, descriptor: int, region: int) -> None:
        self._descriptor = descriptor
        self._region = region
        self._within = RLock()
        self._depth = 0

    def __enter__(self) -> None:
        self._within.acquire()
        self._depth += 1
        if self._depth == 1:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1, self._region)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, self._region)
        self._within.release()


class SharedTally:
    """The tally of ``worker`` (counted from 0) among all; a `tls.capacity.Tally`.

    ``wakes`` has each worker's event counter (eventfd): writing to it makes that worker look for pleas.
    """

    def __init__(self, memory: Memory, worker: int, wakes: Sequence[int]) -> None:
        self._memory = memory
        self._wakes = wakes
        self._own = memory.row(worker)
        self._others = {other: memory.row(other) for other in range(memory.workers) if other != worker}
        self._rows = (self._own, *self._others.values())

    def __enter__(self) -> Self:
        self._memory.counting.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory.counting.__exit__(kind, error, trace)

    def total(self) -> int:
        """All places taken, but for those that are being given back."""
        return sum(row[_TOTAL] - row[_PLEADED] for row in self._rows)

    def half_open(self) -> int:
        """Those whose handshake is not done, but for those that are being given back."""
        return sum(row[_HALF_OPEN] - row[_PLEADED] for row in self._rows)

    def of(self, key: str) -> int:
        """Those of the address ``key``, but for those that are being given back."""
        bucket = self._bucket(key)
        return sum(row[_HELD + bucket] - _pleas(row).count(bucket + 1) for row in self._rows)

    def take(self, key: str) -> None:
        """One more of ``key``, half-open."""
        bucket = self._bucket(key)
        for cell in (_TOTAL, _HALF_OPEN, _HELD + bucket, _HELD_HALF_OPEN + bucket):
            self._own[cell] += 1

    def settle(self, key: str) -> None:
        """A half-open one of ``key`` is that no more."""
        for cell in (_HALF_OPEN, _HELD_HALF_OPEN + self._bucket(key)):
            self._own[cell] -= 1

    def give_back(self, key: str, *, half_open: bool) -> None:
        """One of ``key`` fewer."""
        if half_open:
            self.settle(key)
        for cell in (_TOTAL, _HELD + self._bucket(key)):
            self._own[cell] -= 1

    def plead(self, key: str | None) -> bool:
        """Have another worker close a half-open one (of ``key``); False where none has any."""
        plea = _ANYBODY if key is None else self._bucket(key) + 1
        for other, row in self._others.items():
            half_open = row[_HALF_OPEN if key is None else _HELD_HALF_OPEN + plea - 1]
            if half_open > row[_PLEADED] and row[_PLEADED] < _PLEAS:
                os.eventfd_write(
                    self._wakes[other], 1
                )  # first: a plea that is not heard would count for ever
                row[_PLEA + row[_PLEADED]] = plea
                row[_PLEADED] += 1
                return True
        return False

    def pleas(self) -> tuple[Callable[[str], bool], ...]:
        """What others have pleaded for since the last time: each tells which keys would do."""
        found = _pleas(self._own)
        self._own[_PLEADED] = 0
        return tuple(self._would_do(plea) for plea in found)

    def _would_do(self, plea: int) -> Callable[[str], bool]:
        return lambda key: plea in (_ANYBODY, self._bucket(key) + 1)

    def _bucket(self, key: str) -> int:
        digest = blake2b(key.encode(), digest_size=4, key=self._memory.salt).digest()
        return int.from_bytes(digest) % _BUCKETS


def _pleas(row: memoryview) -> list[int]:
    return row[_PLEA : _PLEA + row[_PLEADED]].tolist() if row[_PLEADED] else []


class SharedStream:
    """A descriptor that several processes write lines to: one at a time, each line whole."""

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
