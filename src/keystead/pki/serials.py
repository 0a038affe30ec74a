"""Serial numbers: 159 random bits, written as lower-case hex everywhere but in the certificate itself."""

from __future__ import annotations

import re

from keystead.errors import BadInput

ENTROPY_OCTETS = 20
"""How many random octets one serial number takes."""


def make_serial(entropy: bytes) -> int:
    """A positive serial number of 159 bits from 20 random octets.

    One bit less than 160 keeps its DER within the 20 octets that RFC 5280, section 4.1.2.2 allows.
    """
    if len(entropy) != ENTROPY_OCTETS:
        raise ValueError(f"a serial number takes {ENTROPY_OCTETS} octets of entropy, not {len(entropy)}")
    return (int.from_bytes(entropy) >> 1) or 1


def serial_hex(serial: int) -> str:
    """The serial number as lower-case hex, without leading zeros."""
    return f"{serial:x}"


def parse_serial(text: str) -> str:
    """The serial number that a person typed (``0x``, colons, any case), as `serial_hex` writes it.

    Raises `BadInput` for anything that cannot be one.
    """
    digits = text.strip().lower().removeprefix("0x").replace(":", "").lstrip("0")
    if not re.fullmatch(r"[0-9a-f]{1,40}", digits):
        raise BadInput(f"{text!r} is not a serial number", why="a serial number is up to 40 hex digits")
    return digits
