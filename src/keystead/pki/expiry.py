"""Spans of time: as a person types them, as a person reads them, and the ones that the rules fix."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from keystead.errors import WrongUsage

BACKDATE = timedelta(minutes=5)
"""How far notBefore lies back, for clocks that run behind."""

CRL_GRACE = timedelta(days=7)
"""How long a revocation list is still used, loudly, after its nextUpdate."""

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far the clock may stand before the newest audit entry until nothing is signed any more."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def parse_lifetime(text: str) -> timedelta:
    """The span that ``text`` spells (``2s``, ``15m``, ``12h``, ``30d``), always positive.

    Raises `WrongUsage` for anything else.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text.strip().lower())
    if match is None or int(match[1]) == 0:
        raise WrongUsage(
            f"{text!r} is not a span of time",
            why="it is a positive number and one of s m h d",
            mend="write for example 30d, 12h, 15m or 90s",
        )
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        raise WrongUsage(f"{text!r} is longer than time is counted here") from None


def spell_lifetime(span: timedelta) -> str:
    """The shortest text that `parse_lifetime` reads as ``span``: ``30d``, ``90s``."""
    seconds = int(span.total_seconds())
    unit, size = next((u, s) for u, s in _SECONDS.items() if seconds % s == 0)
    return f"{seconds // size}{unit}"


def in_words(span: timedelta) -> str:
    """A span for people, in its largest whole unit, sign dropped: ``29 days``, ``1 hour``, ``12 seconds``."""
    seconds = abs(int(span.total_seconds()))
    unit, size = next(((u, s) for u, s in _SECONDS.items() if seconds >= s), ("s", 1))
    count = seconds // size
    return f"{count} {_UNITS[unit].removesuffix('s') if count == 1 else _UNITS[unit]}"


def stamp(moment: datetime) -> str:
    """A moment for machines (RFC 3339), to the second, in UTC: ``2026-11-24T23:01:07Z``."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def when(moment: datetime) -> str:
    """A moment for people, to the second, in UTC: ``2026-11-24 23:01:07 UTC``."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
