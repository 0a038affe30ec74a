"""A timer that is moved often."""

from __future__ import annotations

import asyncio
from functools import partial

from keystead.tls.deadline import Deadline


def fired(*moves: tuple[float, float | None], watch: float) -> list[float]:
    """When a deadline fires that is moved to ``seconds`` at ``time`` (None: cleared), within ``watch``."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        begun, times = loop.time(), list[float]()
        deadline = Deadline(loop, lambda: times.append(loop.time() - begun))
        for at, seconds in moves:
            action = deadline.clear if seconds is None else partial(deadline.set, seconds)
            loop.call_later(at, action) if at else action()
        await asyncio.sleep(watch)
        deadline.end()
        return times

    return asyncio.run(main())


def test_it_fires_once() -> None:
    (time,) = fired((0, 0.05), watch=0.2)
    assert time >= 0.05


def test_moved_away_it_fires_later() -> None:
    (time,) = fired((0, 0.05), (0.03, 0.1), watch=0.3)
    assert time >= 0.13


def test_moved_nearer_it_fires_sooner() -> None:
    (time,) = fired((0, 5), (0.01, 0.05), watch=0.2)
    assert 0.06 <= time < 0.2


def test_cleared_it_does_not_fire() -> None:
    assert fired((0, 0.05), (0.01, None), watch=0.15) == []


def test_cleared_and_set_again_it_fires() -> None:
    (time,) = fired((0, 0.05), (0.01, None), (0.02, 0.1), watch=0.25)
    assert time >= 0.12
