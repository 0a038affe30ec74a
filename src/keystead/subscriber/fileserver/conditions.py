"""What a request makes its answer depend on: entity tags and ranges (RFC 9110, sections 13 and 14). Pure.

Not here: dates. Files are served without Last-Modified, so that conditions on it must be ignored: the entity
tag is the SHA-256, which is never wrong by a second.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from keystead.errors import BadInput

_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,30})-([0-9]{0,30})|-([0-9]{1,30}))[ \t]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Conditions:
    """If-Match, If-None-Match and If-Range as they were sent; None where they were not."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_range: str | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Conditions:
        """Those among ``headers``, whose names are in lower case or compared without case."""
        return cls(headers.get("if-match"), headers.get("if-none-match"), headers.get("if-range"))

    def check_match(self, etag: str | None) -> None:
        """Raise `BadInput` (for a 412) unless If-Match, where sent, names the file; None is no file."""
        if self.if_match is not None and not _matches(self.if_match, etag, weakly=False):
            raise _failed("the file on the server is not the one that If-Match names")

    def check_change(self, etag: str | None) -> None:
        """Raise `BadInput` (for a 412) where the file must not be changed, being what it is."""
        self.check_match(etag)
        if self.is_known(etag):
            raise _failed("the server already has such a file, and If-None-Match forbids to replace it")

    def is_known(self, etag: str | None) -> bool:
        """Whether If-None-Match names the file: a reader then gets 304, a writer 412."""
        return self.if_none_match is not None and _matches(self.if_none_match, etag, weakly=True)

    def takes_range(self, etag: str) -> bool:
        """Whether a range may be answered with a part: If-Range must name this very file (section 13.1.5)."""
        return self.if_range is None or self.if_range.strip() == etag


def _matches(value: str, etag: str | None, *, weakly: bool) -> bool:
    if etag is None:
        return False
    if value.strip() == "*":
        return True
    return any(tag == etag and (weakly or not weak) for weak, tag in _TAG.findall(value))


def _failed(what: str) -> BadInput:
    return BadInput(what, mend="look at what is there: keystead ls", code="precondition-failed")


@dataclass(frozen=True, slots=True)
class Span:
    """``length`` octets from ``start`` on."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The value of Content-Range, of a file of ``size`` octets (section 14.4)."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def parse_range(value: str | None, size: int) -> Span | None:
    """The part of ``size`` octets that a Range header asks for; None where the whole is to be sent.

    That is where there is no header, where it is malformed, in other units or asks for several parts, all
    of which may be ignored (section 14.2). Raises `BadInput` (for a 416) where nothing is in the range.
    """
    match = _RANGE.fullmatch(value or "")
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return _suffix(int(suffix), size)
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return None
    if start >= size:
        raise _unsatisfiable(size)
    return Span(start, end - start + 1)


def _suffix(length: int, size: int) -> Span | None:
    if length == 0:
        raise _unsatisfiable(size)
    if size == 0:
        return None
    return Span(max(0, size - length), min(length, size))


def _unsatisfiable(size: int) -> BadInput:
    return BadInput(
        "the file has no octets in that range",
        why=f"it has {size:,} octets",
        mend="ask for a range that begins within it, or for the whole",
        code="range-not-satisfiable",
    )
