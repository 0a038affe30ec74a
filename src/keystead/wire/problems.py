"""What went wrong, over HTTP: the same three things that the command line says, as documents (RFC 9457).

Pure: a value, its JSON, and back from an error. Not here: which status fits which error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Self

from keystead.errors import KeysteadError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:keystead:problem:"


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal or failure: HTTP status, slug for machines, what happened, why, and how to mend it."""

    status: int
    code: str
    what: str
    why: str = ""
    mend: str = ""

    @classmethod
    def of(cls, error: KeysteadError, status: int) -> Self:
        """The problem that ``error`` is, answered with ``status``."""
        return cls(status, error.code, error.what, error.why, error.mend)

    def body(self) -> bytes:
        """The document as JSON: type, title, status, and where they say something detail and mend."""
        members: dict[str, str | int] = {
            "type": TYPE_PREFIX + self.code,
            "title": self.what,
            "status": self.status,
        }
        if self.why:
            members["detail"] = self.why
        if self.mend:
            members["mend"] = self.mend
        return json.dumps(members, ensure_ascii=False).encode()

    @classmethod
    def parse(cls, body: bytes, status: int) -> Self | None:
        """The problem in ``body`` of an answer with ``status``; None where it is none of ours."""
        try:
            members = json.loads(body)
        except ValueError:
            return None
        if not isinstance(members, dict) or not str(members.get("type", "")).startswith(TYPE_PREFIX):
            return None
        texts = (str(members.get(name, "")) for name in ("title", "detail", "mend"))
        return cls(status, str(members["type"]).removeprefix(TYPE_PREFIX), *texts)
