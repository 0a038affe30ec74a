"""An error as it travels over HTTP: a problem document (RFC 9457) that says what, why and how to mend it.

Not here: which status fits which error; whoever answers a request knows that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Self

from keystead.errors import BadInput, KeysteadError

MEDIA_TYPE: Final = "application/problem+json"
"""RFC 9457, section 3."""

MAX_DOCUMENT: Final = 64 * 1024
"""Octets of a problem document that are read."""

_TYPE: Final = "urn:keystead:problem:"
_MAX_TEXT: Final = 4_000


@dataclass(frozen=True, slots=True)
class Problem:
    """What an error answer says: the status, a slug for machines, and the three things for people."""

    status: int
    code: str
    what: str
    why: str = ""
    mend: str = ""

    @classmethod
    def from_error(cls, error: KeysteadError, status: int) -> Self:
        """``error`` as an answer with ``status``."""
        return cls(status, error.code, error.what, error.why, error.mend)

    @classmethod
    def parse(cls, data: bytes, status: int) -> Self:
        """The problem in the body ``data`` of an answer with ``status``, which is believed before the body's.

        Raises `BadInput` for anything that is not such a document of at most `MAX_DOCUMENT` octets.
        """
        members = _members(data)
        return cls(
            status,
            _text(members, "type").removeprefix(_TYPE) or "failed",
            _text(members, "title"),
            _text(members, "detail"),
            _text(members, "mend"),
        )

    def to_json(self) -> bytes:
        """The document: ``detail`` is the why, and ``mend`` an extension member (RFC 9457, section 3.2)."""
        members: dict[str, Any] = {
            "type": _TYPE + self.code,
            "title": self.what,
            "status": self.status,
            "detail": self.why,
            "mend": self.mend,
        }
        return json.dumps({name: value for name, value in members.items() if value != ""}).encode("ascii")

    def as_error(self) -> KeysteadError:
        """The same, to be raised where the answer arrived."""
        return KeysteadError(self.what, why=self.why, mend=self.mend, code=self.code)


def _members(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_DOCUMENT:
        raise BadInput("the server's answer is too long for a problem document", code="bad-problem")
    try:
        members = json.loads(data)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict) or not isinstance(members.get("title"), str):
        raise BadInput("the server's answer is no problem document (RFC 9457)", code="bad-problem")
    return members


def _text(members: dict[str, Any], name: str) -> str:
    value = members.get(name, "")
    return value[:_MAX_TEXT] if isinstance(value, str) else ""
