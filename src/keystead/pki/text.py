"""What editors, mail programs and shells do to PEM, undone: byte order marks, UTF-16, CR LF.

Not here: reading what the PEM holds.
"""

from __future__ import annotations

import codecs

_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def as_text(data: bytes) -> bytes:
    """``data`` as plain ASCII lines where it is PEM; anything else, DER above all, as it is."""
    data = without_mark(data)
    if b"-----BEGIN" not in data:
        return data
    return data.replace(b"\r\n", b"\n")


def without_mark(data: bytes) -> bytes:
    """``data`` without a byte order mark, and in UTF-8 if that was one of UTF-16."""
    for mark, encoding in _ENCODINGS:
        if data.startswith(mark):
            return data.removeprefix(mark).decode(encoding, errors="replace").encode()
    return data
