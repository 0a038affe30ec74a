"""Commands that run at once."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import NamedTemporaryFile

from tests.e2e.conftest import PATIENCE, Machine, Ran

_SPREAD = 0.03
"""Seconds by which one may begin after another, so that rounds differ in where they meet."""


def at_once(machine: Machine, chance: random.Random, *commands: tuple[str, ...]) -> list[Ran]:
    """What came of each of ``commands``, begun together but for moments that ``chance`` chooses."""
    delays = [0.0, *sorted(chance.uniform(0, _SPREAD) for _ in commands[1:])]
    order = chance.sample(range(len(commands)), len(commands))
    with ExitStack() as stack:
        files = [
            [Path(stack.enter_context(NamedTemporaryFile()).name) for _ in ("out", "err")] for _ in commands
        ]
        began = time.monotonic()
        processes = {}
        for place, delay in zip(order, delays, strict=True):
            time.sleep(max(0.0, began + delay - time.monotonic()))
            out, err = files[place]
            processes[place] = machine.start(*commands[place], out=out, err=err)
        codes = {place: process.wait(PATIENCE) for place, process in processes.items()}
        ran = [Ran(codes[place], out.read_text(), err.read_text()) for place, (out, err) in enumerate(files)]
    assert not any("Traceback" in each.text for each in ran), ran
    return ran
