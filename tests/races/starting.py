"""Commands that run at once."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tests.e2e.conftest import PATIENCE, Machine, Ran

_SPREAD = 0.05
"""Seconds by which one may begin after another, so that rounds differ in where they meet."""


def at_once(machine: Machine, chance: random.Random, *commands: tuple[str, ...]) -> list[Ran]:
    """What came of each of ``commands``, begun together but for a moment that ``chance`` chooses."""
    barrier = Barrier(len(commands))
    delays = [chance.uniform(0, _SPREAD) for _ in commands]

    def run(words: tuple[str, ...], delay: float) -> Ran:
        barrier.wait(PATIENCE)
        time.sleep(delay)
        return machine.run(*words)

    with ThreadPoolExecutor(len(commands)) as pool:
        return list(pool.map(run, commands, delays))
