"""Reports of a worker: what is written is read, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import KeysteadError, WrongUsage
from keystead.web.orders import Failed, Ready, Stopped, read_report, write_report


@pytest.mark.parametrize("report", [Ready(), Stopped(0), Stopped(7)])
def test_a_report_arrives_as_it_was_sent(report: Ready | Stopped) -> None:
    assert read_report(write_report(report)) == report


def test_an_error_arrives_with_all_its_parts_and_its_kind() -> None:
    sent = WrongUsage("what\nhappened", why="why", mend="mend", code="slug")
    got = read_report(write_report(Failed(sent)))
    assert isinstance(got, Failed)
    assert isinstance(got.error, WrongUsage)
    assert (got.error.what, got.error.why, got.error.mend, got.error.code) == (
        "what\nhappened",
        "why",
        "mend",
        "slug",
    )


def test_a_kind_of_error_that_is_not_known_is_the_family_s() -> None:
    class Special(KeysteadError):
        pass

    got = read_report(write_report(Failed(Special("it"))))
    assert isinstance(got, Failed)
    assert type(got.error) is KeysteadError


@given(st.binary(max_size=200))
def test_anything_else_is_no_report(line: bytes) -> None:
    assert read_report(line) is None


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"{}",
        b'{"report": "Stopped"}',
        b'{"report": "Stopped", "cut": "x"}',
        b'{"report": "Stopped", "cut": 1e999}',
        b'{"report": []}',
        b"[" * 60_000,
    ],
    ids=lambda line: line[:50].decode(),
)
def test_half_a_report_is_none(line: bytes) -> None:
    assert read_report(line) is None
