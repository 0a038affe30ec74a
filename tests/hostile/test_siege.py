"""Under every attack the server lives, holds no more than before, and other clients do not notice."""

from __future__ import annotations

from statistics import median
from typing import Any

import pytest

from tests.hostile.attacks_http import HTTP
from tests.hostile.attacks_tls import ADMITTED, STRANGERS
from tests.hostile.conftest import ROW, SAMPLE_SECONDS, SOAK_SECONDS, Siege, Vitals
from tests.hostile.innocent import Experience
from tests.rounds import Rounds, in_sample_and_soak

ATTACKS = {**STRANGERS, **ADMITTED, **HTTP}

FLOOR, TIMES = 3_000.0, 300
"""The bar of the slowest answer under attack: milliseconds that are forgiven to a busy machine, or how often
the median of a quiet time, where that is more. The table has what it took."""

STRAY_MEMORY = 32
"""MiB that memory may differ between two plays of one attack: the allocator's, not the connections'."""


@in_sample_and_soak
@pytest.mark.parametrize("attack", ATTACKS)
def test_others_do_not_notice(siege: Siege, attack: str, rounds: Rounds, record_property: Any) -> None:
    seconds = SOAK_SECONDS if rounds.is_soak else SAMPLE_SECONDS
    quiet = siege.quiet(seconds / 2)
    at_rest = siege.vitals()
    first, strikes = siege.attacked(ATTACKS[attack], seconds)
    before = siege.settled(at_rest.descriptors)
    second, more_strikes = siege.attacked(ATTACKS[attack], seconds)
    after = siege.settled(at_rest.descriptors)
    under = Experience(first.fresh + second.fresh, first.kept + second.kept, first.failures + second.failures)
    record_property(ROW, row(attack, strikes + more_strikes, quiet, under, before, after))

    assert strikes > 0
    assert under.failures == []
    assert max(under.fresh) < max(FLOOR, TIMES * median(quiet.fresh))
    assert max(under.kept) < max(FLOOR, TIMES * median(quiet.kept))
    assert after.descriptors <= at_rest.descriptors
    assert after.memory - before.memory < STRAY_MEMORY
    assert siege.mistakes() == []


def row(
    attack: str, strikes: int, quiet: Experience, under: Experience, before: Vitals, after: Vitals
) -> str:
    calm, stormy = quiet.row(), under.row()
    times = " | ".join(
        f"{middle:.1f} ({worst:.0f})" for middle, worst in (calm[:2], stormy[:2], calm[2:], stormy[2:])
    )
    return (
        f"| {attack} | {strikes:,} | {times} | {before.memory} → {after.memory} MiB |"
        f" {before.descriptors} → {after.descriptors} |"
    )
