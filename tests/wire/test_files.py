"""Names, digests and lists of the file service: what is taken, what is refused, what survives the journey."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import BadInput
from keystead.wire.files import (
    Entry,
    Receipt,
    check_file_name,
    digest_field,
    list_to_json,
    parse_digest_field,
    parse_file_name,
    parse_list,
    target_of,
)

digests = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize(
    "name", ["f", "report.pdf", "Größe 3.txt", "a%2Fb", "x..y", "console.log", "日本.txt", "n" * 255]
)
def test_a_plain_name_is_taken(name: str) -> None:
    assert check_file_name(name) == name


@pytest.mark.parametrize(
    "segment",
    [
        "",
        ".",
        "..",
        ".hidden",
        "%2e%2e",
        "a%2Fb",
        "..%2f..%2fetc%2fpasswd",
        "a%5Cb",
        "a%00",
        "a%0Ab",
        "a%7F",
        "a%E2%80%AEb",
        "a%C2%85b",
        "%FF",
        "a%C0%AFb",
        "end.",
        "end%20",
        "%20begin",
        "con",
        "NUL.txt",
        "Com1",
        "aux%20.log",
        "n" * 256,
        "%C3%A4" * 128,
    ],
)
def test_a_name_that_a_file_system_would_stumble_over_is_refused(segment: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_file_name(segment.encode())
    assert caught.value.code == "bad-file-name"


def test_a_name_is_decoded_once_only() -> None:
    assert parse_file_name(b"a%252Fb") == "a%2Fb"


@given(st.text(max_size=80))
def test_a_name_that_is_taken_survives_its_target_and_is_one_segment(name: str) -> None:
    with contextlib.suppress(BadInput):
        check_file_name(name)
        target = target_of(name)
        assert target.count("/") == 2
        assert target.isascii()
        assert parse_file_name(target.removeprefix("/files/").encode()) == name


@given(st.text(alphabet="abz.%/\\0123456789CcFfEe -", max_size=40))
def test_no_segment_becomes_a_path(segment: str) -> None:
    with contextlib.suppress(BadInput):
        name = parse_file_name(segment.encode())
        assert "/" not in name
        assert not name.startswith(".")


@given(digests)
def test_a_digest_survives_the_journey(digest: bytes) -> None:
    assert parse_digest_field(digest_field(digest)) == digest
    assert parse_digest_field(f"sha-512=:AAAA:, {digest_field(digest)};q=1, md5=:AA==:") == digest


@given(digests, digests)
def test_of_a_digest_that_is_there_twice_the_last_counts(first: bytes, last: bytes) -> None:
    assert parse_digest_field(f"{digest_field(first)}, {digest_field(last)}") == last


@pytest.mark.parametrize(
    "value",
    [
        "",
        "sha-256=",
        "sha-256=:AAAA:",
        "sha-256=:!!!!:",
        "sha-512=:AAAA:",
        "xsha-256=:AAAA:",
        "sha-256=deadbeef",
    ],
)
def test_a_digest_that_cannot_be_verified_is_refused(value: str) -> None:
    with pytest.raises(BadInput):
        parse_digest_field(value)


@given(st.text(max_size=50), st.integers(0, 2**60), digests)
def test_receipts_and_lists_survive_the_journey(name: str, size: int, digest: bytes) -> None:
    receipt = Receipt(name, size, digest)
    entry = Entry(name, size, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), digest)
    assert Receipt.parse(receipt.to_json()) == receipt
    assert parse_list(list_to_json([entry, entry])) == (entry, entry)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[3]",
        b"null",
        b'{"name": "x", "size": "many", "sha256": "0"}',
        b'{"name": "x", "size": Infinity, "sha256": "0"}',
        b"[" * 90_000,
    ],
)
def test_an_answer_of_another_kind_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        Receipt.parse(data)
    with contextlib.suppress(BadInput):
        assert parse_list(data) == ()
