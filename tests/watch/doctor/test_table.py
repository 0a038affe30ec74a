"""What holds for the whole table of checks."""

from __future__ import annotations

import re
import string
from pathlib import Path

from keystead.watch.doctor import authority, endpoint, holders, revocation, storage, trust

ALL = (
    *storage.CHECKS,
    *holders.CHECKS,
    *trust.CHECKS,
    *revocation.CHECKS,
    *authority.CHECKS,
    *endpoint.CHECKS,
)
OF_THE_VISIT = {"folder-unreadable", "server-unreachable", "server-plain", "server-refuses", "clock-skew"}
PAGE = Path(__file__).parents[3] / "docs/how-to/doctor.md"


def test_every_check_has_a_code_of_its_own() -> None:
    codes = [check.code for check in ALL]
    assert len(codes) == len(set(codes))


def test_every_sentence_can_be_filled_in() -> None:
    known = {"path", "folder", "file", "name", "detail", "env"}
    named = {
        field
        for check in ALL
        for text in (check.what, check.why)
        for _, field, _, _ in string.Formatter().parse(text)
    }
    assert named - {None} <= known


def test_every_code_is_on_the_page() -> None:
    listed = re.findall(r"`([a-z]+(?:-[a-z]+)+)`", PAGE.read_text().partition("## What is looked at")[2])
    assert sorted(listed) == sorted({check.code for check in ALL} | OF_THE_VISIT)
