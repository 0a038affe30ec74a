"""The time of day as an argument: what needs "now" takes it or a `Clock`, so that tests choose it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives the present moment, aware, in UTC."""


def system_clock() -> datetime:
    """What this machine believes."""
    return datetime.now(UTC)
