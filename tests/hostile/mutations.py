"""Good files made bad, by octets, lines or values; what is done follows from the source of chance alone."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

PER_ROUND = 10
"""Mutations in one round of `tests.rounds`: ten thousand in a whole soak."""

SAMPLE = 30
"""Rounds in `make test`: three hundred mutations."""

ODD_VALUES: Sequence[bytes] = (
    b"",
    b"0",
    b"-1",
    b"1e999",
    b"-1e999",
    b"1" * 5000,
    b"18446744073709551616",
    b"0.5",
    b"inf",
    b"nan",
    b"NaN",
    b"Infinity",
    b"true",
    b"null",
    b'""',
    b'"\\u0000"',
    b'"\\ud800"',
    b'"' + b"x" * 70_000 + b'"',
    b'"../../etc/passwd"',
    b'"99999999999999d"',
    b"1979-05-27T07:32:00Z",
    b"[]",
    b"{}",
    b"[[]]",
    b'[1, "a", true]',
    b'{"a" = {"b" = 1}}',
    b'{"a": {"b": 1}}',
    b"[" * 30_000,
    b"{" * 30_000,
    b'{"a":' * 20_000,
    b"a." * 5_000 + b"b = 1",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r\n\r\n",
    b"\0",
)
"""What somebody might put where another value stood: in TOML, in JSON, or in neither."""

_VALUE = re.compile(
    rb'"(?:[^"\\\n]|\\.)*"|\b[0-9][0-9a-f.:-]*|\b(?:true|false|null|any|none)\b|\[[^\[\]\n]*\]'
)


def octets(data: bytes, chance: random.Random) -> bytes:
    """A few octets changed, lost, added or repeated; or the end missing."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        if not changed:
            break
        place = chance.randrange(len(changed))
        match chance.randrange(6):
            case 0:
                changed[place] ^= 1 << chance.randrange(8)
            case 1:
                changed[place] = chance.randrange(256)
            case 2:
                del changed[place : place + chance.randrange(1, 9)]
            case 3:
                changed[place:place] = chance.randbytes(chance.randrange(1, 9))
            case 4:
                changed[place:place] = changed[place : place + chance.randrange(1, 40)]
            case _:
                del changed[place:]
    return bytes(changed)


def lines(data: bytes, chance: random.Random) -> bytes:
    """Lines lost, repeated or in another order."""
    parts = data.splitlines(keepends=True) or [b""]
    for _ in range(chance.choice([1, 1, 2])):
        place = chance.randrange(len(parts))
        match chance.randrange(3):
            case 0:
                del parts[place]
                parts = parts or [b""]
            case 1:
                parts.insert(chance.randrange(len(parts) + 1), parts[place])
            case _:
                chance.shuffle(parts)
    return b"".join(parts)


def values(data: bytes, chance: random.Random) -> bytes:
    """One of its values is an odd one, or another of its own."""
    found = list(_VALUE.finditer(data))
    if not found:
        return chance.choice(ODD_VALUES)
    chosen, other = chance.choice(found), chance.choice(found)
    odd = chance.choice([*ODD_VALUES, other[0]])
    return data[: chosen.start()] + odd + data[chosen.end() :]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """``data``, changed in one of these ways."""
    how: Callable[[bytes, random.Random], bytes] = chance.choice([octets, octets, lines, values, values])
    return how(data, chance)
