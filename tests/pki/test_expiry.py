from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import WrongUsage
from keystead.pki.expiry import in_words, parse_lifetime, spell_lifetime, when


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2s", 2), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000), (" 1D ", 86_400)],
)
def test_a_lifetime_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_lifetime(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "30", "d", "0d", "-1d", "1.5h", "1w", "1 d", "٣d", "1d1h", "9" * 30 + "d"]
)
def test_what_is_no_span_of_time_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage):
        parse_lifetime(text)


@given(st.integers(1, 10**8))
def test_a_lifetime_survives_its_text(seconds: int) -> None:
    assert parse_lifetime(spell_lifetime(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(days=29, hours=23), "29 days"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(seconds=-12), "12 seconds"),
        (timedelta(0), "0 seconds"),
    ],
)
def test_a_span_is_told_in_its_largest_whole_unit(span: timedelta, words: str) -> None:
    assert in_words(span) == words


def test_a_moment_is_told_in_utc() -> None:
    assert when(datetime(2026, 11, 24, 23, 1, 7, tzinfo=UTC)) == "2026-11-24 23:01:07 UTC"
