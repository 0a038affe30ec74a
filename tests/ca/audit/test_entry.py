"""Entries of the audit log as canonical JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.ca.audit.entry import Entry

WHEN = datetime(2026, 11, 24, 12, 0, 5, tzinfo=UTC)
ENTRY = Entry("root@ca", "certificate.issue", WHEN, "ok", serial="0a", detail='said "ä"')


def test_an_entry_has_sorted_keys_no_spaces_and_nothing_empty() -> None:
    assert ENTRY.canonical() == (
        r'{"detail":"said \"ä\"","result":"ok","serial":"0a","what":"certificate.issue",'
        '"when":"2026-11-24T12:00:05Z","who":"root@ca"}'
    )


def test_the_time_is_utc_to_the_second_wherever_it_was_read() -> None:
    elsewhere = WHEN.astimezone(timezone(timedelta(hours=5))).replace(microsecond=999)
    assert Entry("x", "y", elsewhere, "ok").canonical() == Entry("x", "y", WHEN, "ok").canonical()


SAID = st.text(min_size=1)
MOMENTS = st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)).map(lambda m: m.replace(microsecond=0))


@given(st.builds(Entry, who=SAID, what=SAID, when=MOMENTS, result=SAID, serial=st.text(), detail=st.text()))
def test_whatever_is_said_an_entry_is_read_back_as_it_was_written(entry: Entry) -> None:
    assert Entry.parse(entry.canonical()) == entry


def test_bytes_of_a_file_name_that_are_no_text_are_spelled_out() -> None:
    canonical = Entry("x", "y", WHEN, "refused", request="a\udcff.csr").canonical()
    assert canonical.encode().decode() == canonical
    assert Entry.parse(canonical).request == r"a\udcff.csr"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"what":1}',
        ENTRY.canonical() + " ",
        ENTRY.canonical().replace(",", ", "),
        ENTRY.canonical().replace('"serial"', '"unknown"'),
        ENTRY.canonical().replace("12:00:05Z", "12:00:05+00:00"),
        ENTRY.canonical().replace("ä", r"\u00e4"),
        ENTRY.canonical().replace('"who":"root@ca"', '"who":"root@ca","who":"root@ca"'),
    ],
)
def test_anything_but_the_canonical_form_is_no_entry(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Entry.parse(text)
