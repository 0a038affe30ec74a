"""One entry of the audit log: who did what, when, to which serial or request, and how it ended.

Not here: where entries are kept (`log`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Self

CLOCK_ACCEPTED = "clock.accept"
"""The ``what`` of the entry after which earlier times are right again: an operator has said so."""

BACKED_UP = "ca.backup"
"""The ``what`` of the two entries that an export leaves: one before it, one when it has succeeded."""

RESTORED = "ca.restore"
"""The ``what`` of the entry that an import leaves."""

REHEARSED = "ca.rehearse"
"""The ``what`` of the two entries that practising a restore leaves: it opens the CA's keys."""

KEYS_REBUILT = "keys.rebuild"
"""The ``what`` of the entries, in every environment's log, that making ``keys.db`` anew leaves."""

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Entry:
    """``what`` is a slug (``certificate.issue``), ``result`` another (``ok``, ``refused``), the rest text.

    ``when`` is aware and counts to the second.
    """

    who: str
    what: str
    when: datetime
    result: str
    serial: str = ""
    request: str = ""
    detail: str = ""

    def canonical(self) -> str:
        """Canonical JSON: keys sorted, no spaces, UTF-8, what is empty left out. This is what is hashed."""
        told = {name: _sound(text) for name, text in zip(_TEXTS, _GET_TEXTS(self), strict=True) if text}
        told["when"] = _spell(self.when)
        return _encode(told)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The entry that `canonical` wrote; `ValueError` for anything else, down to a space."""
        told = json.loads(text)
        if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
            raise ValueError("not an entry")
        try:
            entry = cls(**{**told, "when": datetime.fromisoformat(told["when"])})
        except (TypeError, KeyError) as error:
            raise ValueError("not an entry") from error
        if entry.canonical() != text:
            raise ValueError("not in its canonical form")
        return entry


_TEXTS = tuple(field.name for field in fields(Entry) if field.name != "when")
_GET_TEXTS = attrgetter(*_TEXTS)


def _sound(text: str) -> str:
    # A file name may hold bytes that are no UTF-8 (PEP 383): they are spelled out.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


@lru_cache(maxsize=8)  # a batch has one moment
def _spell(when: datetime) -> str:
    return when.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"
