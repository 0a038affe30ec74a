"""While the server runs, uploads that do not get on are removed: at the start, and from time to time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from keystead.errors import KeysteadError
from keystead.subscriber.fileserver.resumable import sweep_all

_OFTEN: Final = 1.0
_SELDOM: Final = 600.0
_SHARE: Final = 4
"""A part of the time that an upload may stand still is how much longer it may stay."""


@asynccontextmanager
async def sweeping(root: Path, expiry: timedelta) -> AsyncIterator[None]:
    """For the time of the body, remove uploads below ``root`` after ``expiry`` without progress."""
    task = asyncio.create_task(_sweep_for_ever(root, expiry))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _sweep_for_ever(root: Path, expiry: timedelta) -> None:
    pause = min(max(expiry.total_seconds() / _SHARE, _OFTEN), _SELDOM)
    while True:
        with suppress(OSError, KeysteadError):  # whatever the trouble of the disk is, it is tried again
            await asyncio.to_thread(sweep_all, root, expiry)
        await asyncio.sleep(pause)
