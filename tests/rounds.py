"""How often a test of chance is played: a few rounds in `make test`, a thousand in `make soak`."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

SOAK = int(os.environ.get("KEYSTEAD_SOAK", "1000"))
SEED = os.environ.get("KEYSTEAD_SEED")
"""The first round's seed, as a failed test has printed it: KEYSTEAD_SEED=N pytest …"""


@dataclass(frozen=True)
class Rounds:
    """The rounds of one test; ``is_soak`` says whether they are to be many."""

    is_soak: bool

    def play(self, sample: int) -> Iterator[random.Random]:
        """A source of chance a round: ``sample`` of them, or as many as a soak has.

        Each round's seed is printed, which pytest shows where the test fails.
        """
        first = int(SEED) if SEED else random.SystemRandom().randrange(10**9)
        for number in range(SOAK if self.is_soak else sample):
            print(f"round {number}: KEYSTEAD_SEED={first + number}")
            yield random.Random(first + number)


in_sample_and_soak = pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(Rounds(is_soak=False), id="sample", marks=pytest.mark.slow),
        pytest.param(Rounds(is_soak=True), id="soak", marks=pytest.mark.soak),
    ],
)
"""A test with the argument ``rounds`` is one test of `make test` and one of `make soak`."""
