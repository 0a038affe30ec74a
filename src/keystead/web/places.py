"""How many connections several workers hold together: the tally of each, in the memory that they share.

Not here: what a place is, and who gives way (`tls.capacity`); the memory itself (`web.shared`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from types import TracebackType
from typing import Self

from keystead.tls.capacity import Plea
from keystead.web.shared import Memory

_BUCKETS = 8_192
"""Addresses are counted by a salted hash: two share a count with a probability of one in so many."""

_PLEAS = 64
"""A worker that has so many unheard is asked no more."""

_TOTAL, _HALF_OPEN, _PLEADED = range(3)
_PLEA = 3
_HELD = _PLEA + _PLEAS
_HELD_HALF_OPEN = _HELD + _BUCKETS
"""Where in a row, in cells: three counts, the pleas, and two counts for each bucket."""

_ANYBODY = 0
"""A plea for any half-open connection; others are a bucket's number and one."""


class SharedTally:
    """The tally of ``worker`` (counted from 0) among all; a `tls.capacity.Tally`.

    Where another holds the lock and lets nobody have it, it counts without: each worker alone writes its own
    counts, so that at worst as many places too many are taken as there are workers. Nothing is pleaded for
    then, for pleas are written by several.

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
        """Have another worker close a half-open one (of ``key``); False where none has, or may be asked."""
        if not self._memory.counting.is_held:
            return False
        plea = _ANYBODY if key is None else self._bucket(key) + 1

        def available(worker: int) -> int:
            row = self._others[worker]
            return row[_HALF_OPEN if plea == _ANYBODY else _HELD_HALF_OPEN + plea - 1] - row[_PLEADED]

        # Of whom there are most: there the flood is, and a real client is half-open but for a moment.
        worker = max(self._others, key=available)
        row = self._others[worker]
        if available(worker) <= 0 or row[_PLEADED] == _PLEAS:
            return False
        os.eventfd_write(self._wakes[worker], 1)  # first: a plea that is not heard would count for ever
        row[_PLEA + row[_PLEADED]] = plea
        row[_PLEADED] += 1
        return True

    def pleas(self) -> tuple[Plea, ...]:
        """What others have pleaded for since the last time."""
        found = _pleas(self._own)
        self._own[_PLEADED] = 0
        return tuple(partial(self._suits, plea) for plea in found)

    def _suits(self, plea: int, key: str) -> bool:
        return plea in (_ANYBODY, self._bucket(key) + 1)

    def _bucket(self, key: str) -> int:
        digest = blake2b(key.encode(), digest_size=4, key=self._memory.salt).digest()
        return int.from_bytes(digest) % _BUCKETS


def _pleas(row: memoryview) -> list[int]:
    return row[_PLEA : _PLEA + row[_PLEADED]].tolist() if row[_PLEADED] else []
