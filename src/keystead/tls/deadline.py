"""One timer per purpose that is moved often and fires rarely.

Not here: what happens when it fires.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls back once its time has passed; moving it further away costs one assignment."""

    __slots__ = ("_callback", "_due", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback: Callable[[], None] | None = callback
        self._due: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Fire in ``seconds`` from now, whatever was set before."""
        self._due = self._loop.time() + seconds
        if self._handle is not None:
            if self._handle.when() <= self._due:
                return
            self._handle.cancel()
        self._handle = self._loop.call_at(self._due, self._fire)

    def clear(self) -> None:
        """Do not fire until set again."""
        self._due = None

    def end(self) -> None:
        """Never fire again, and let go of the owner."""
        self._due = self._callback = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        if self._due is None or self._callback is None:
            return
        if self._loop.time() < self._due:
            self._handle = self._loop.call_at(self._due, self._fire)
            return
        self._due = None
        self._callback()
