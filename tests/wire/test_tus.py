"""The tus protocol's fields: what is written is read back, and nothing else is."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import BadInput
from keystead.wire.tus import (
    ALGORITHMS,
    MAX_METADATA,
    MAX_PAIRS,
    Checksum,
    Metadata,
    Pending,
    expires_field,
    is_upload_id,
    list_to_json,
    parse_expires,
    parse_list,
    parse_location,
    parse_octets,
    target_of,
)

ID = "0123456789abcdef" * 2
KEYS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=","), min_size=1, max_size=9
)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)


@given(st.integers(0, 10**18 - 1))
def test_a_number_of_octets_is_read(octets: int) -> None:
    assert parse_octets(str(octets), "Upload-Length") == octets


@pytest.mark.parametrize("text", [None, "", "-1", "+1", "1 ", "1.0", "0x1", "١", "1_0", "9" * 19])
def test_what_is_no_number_of_octets_is_refused_by_the_field_s_name(text: str | None) -> None:
    with pytest.raises(BadInput, match="Upload-Offset"):
        parse_octets(text, "Upload-Offset")


@given(st.dictionaries(KEYS, st.binary(max_size=20), max_size=MAX_PAIRS))
def test_metadata_that_is_written_is_read_back(pairs: dict[str, bytes]) -> None:
    metadata = Metadata(tuple(pairs.items()))
    assert Metadata.parse(metadata.to_field()) == metadata


@pytest.mark.parametrize(
    "field",
    [
        ",",
        "filename",
        "filename YQ==,",
        " ,filename YQ==",
        "filename YQ==,filename Yg==",
        "filename YQ",
        "filename YQ==x",
        "filename  YQ==",
        "filename Y Q==",
        "datei\u00e9 YQ==",
        "filename \u00e9",
        "a\tb YQ==",
        "filename " + "A" * MAX_METADATA,
        ",".join(f"k{number} YQ==" for number in range(MAX_PAIRS + 1)),
    ],
)
def test_metadata_that_is_spelt_otherwise_is_refused(field: str) -> None:
    with pytest.raises(BadInput):
        Metadata.parse(field).file_name()


def test_a_key_may_have_no_value() -> None:
    assert Metadata.parse("is_confidential,filename YQ==").pairs == (
        ("is_confidential", b""),
        ("filename", b"a"),
    )


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "con", "a\n", "x" * 256, ""])
def test_a_name_is_held_to_the_rule_of_all_files(name: str) -> None:
    with pytest.raises(BadInput) as caught:
        Metadata.of_file(name).file_name()
    assert caught.value.code == "bad-file-name"


def test_a_name_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(BadInput):
        Metadata((("filename", b"\xff"),)).file_name()


@given(st.sampled_from(sorted(ALGORITHMS)), st.data())
def test_a_checksum_that_is_written_is_read_back(algorithm: str, data: st.DataObject) -> None:
    octets = ALGORITHMS[algorithm]
    checksum = Checksum(algorithm, data.draw(st.binary(min_size=octets, max_size=octets)))
    assert Checksum.parse(checksum.to_field()) == checksum


@pytest.mark.parametrize(
    "field",
    ["", "sha1", "md5 AAAA", "SHA1 " + "A" * 27 + "=", "sha1 AAAA", "sha1 é", "sha256 " + "A" * 10_000],
)
def test_what_is_no_checksum_is_refused(field: str) -> None:
    with pytest.raises(BadInput) as caught:
        Checksum.parse(field)
    assert caught.value.code == "bad-checksum"


@given(MOMENTS)
def test_a_moment_that_is_written_is_read_back(moment: datetime) -> None:
    assert parse_expires(expires_field(moment)) == moment


def test_a_moment_is_spelt_as_http_has_it() -> None:
    assert expires_field(datetime(2026, 11, 5, 7, 8, 9, tzinfo=UTC)) == "Thu, 05 Nov 2026 07:08:09 GMT"


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "Thu, 31 Feb 2026 07:08:09 GMT", "Thu, 05 Nov 2026 07:08:60 GMT"]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_expires(text)


def test_a_location_names_its_upload_with_and_without_a_host() -> None:
    assert parse_location(target_of(ID)) == parse_location(f"https://host:8443/tus/{ID}") == ID


@pytest.mark.parametrize(
    "text", ["", "/tus/", f"/files/{ID}", f"/tus/{ID}/", f"/tus/{ID.upper()}", f"//h/tus/{ID}"]
)
def test_a_location_that_names_no_upload_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_location(text)


@given(
    st.lists(
        st.builds(Pending, st.just(ID), st.text(), st.integers(5), st.integers(0, 5), MOMENTS, st.booleans())
    )
)
def test_a_list_that_is_written_is_read_back(uploads: list[Pending]) -> None:
    assert parse_list(list_to_json(uploads)) == tuple(uploads)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}x",
        b"[1]",
        b'[{"id": "x"}]',
        b'[{"id": "x", "name": "f", "length": Infinity, "offset": 0, "expires": "2026-01-01T00:00:00Z"}]',
        b"[" * 100_000,
        list_to_json([Pending(ID, "f", 1, 2, datetime.now(UTC), False)]),
    ],
)
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput):
        parse_list(body)


@given(st.one_of(st.text(), st.binary().map(lambda octets: octets.decode("latin-1"))))
def test_whatever_comes_is_read_or_refused(text: str) -> None:
    for parse in (Metadata.parse, Checksum.parse, parse_expires, parse_location):
        with suppress(BadInput):
            parse(text)
    with suppress(BadInput):
        parse_octets(text, "Upload-Length")
    assert is_upload_id(text) in {True, False}
