"""Entity tags and ranges: pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import BadInput
from keystead.subscriber.fileserver.conditions import Conditions, Span, parse_range


@given(st.integers(0, 300), st.integers(0, 400), st.integers(0, 400))
def test_a_range_is_the_slice_that_it_names(size: int, first: int, last: int) -> None:
    content = bytes(range(256))[:size] + b"x" * max(0, size - 256)
    header = f"bytes={first}-{last}"
    if last < first:
        assert parse_range(header, size) is None
    elif first >= size:
        with pytest.raises(BadInput):
            parse_range(header, size)
    else:
        span = parse_range(header, size)
        assert span is not None
        assert content[span.start : span.start + span.length] == content[first : last + 1]
        assert span.content_range(size) == f"bytes {first}-{min(last, size - 1)}/{size}"


@given(st.integers(1, 300), st.integers(1, 400))
def test_a_suffix_is_the_end_of_the_file(size: int, length: int) -> None:
    span = parse_range(f"bytes=-{length}", size)
    assert span is not None
    assert span.start + span.length == size
    assert span.length == min(length, size)


@given(st.text(alphabet="bytes=0123456789-, BYTES;*", max_size=40), st.integers(0, 50))
def test_any_header_gives_a_part_within_the_file_or_the_whole_or_a_refusal(header: str, size: int) -> None:
    try:
        span = parse_range(header, size)
    except BadInput:
        return
    assert span is None or (span.length > 0 and span.start >= 0 and span.start + span.length <= size)


@pytest.mark.parametrize(
    "header", [None, "", "bytes=", "bytes=-", "items=0-1", "bytes=0-1,3-4", "bytes=a-b", "bytes=1-0"]
)
def test_a_range_that_may_be_ignored_gives_the_whole(header: str | None) -> None:
    assert parse_range(header, 10) is None


@pytest.mark.parametrize("header", ["bytes=-0", "bytes=10-", "bytes=99999999999999999999-"])
def test_a_range_without_octets_is_refused(header: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_range(header, 10)
    assert caught.value.code == "range-not-satisfiable"


def test_a_range_may_be_spelled_in_any_case() -> None:
    assert parse_range("Bytes=2-", 10) == Span(2, 8)


def test_if_match_compares_strongly_and_if_none_match_weakly() -> None:
    with pytest.raises(BadInput):
        Conditions(if_match='W/"a"').check_match('"a"')
    assert Conditions(if_none_match='W/"a"').is_known('"a"')


def test_a_star_matches_what_is_there_only() -> None:
    Conditions(if_match="*").check_match('"a"')
    with pytest.raises(BadInput):
        Conditions(if_match="*").check_match(None)
    assert not Conditions(if_none_match="*").is_known(None)
