"""The file service as both sides speak it: names, digests, entries and receipts. Pure values.

Not here: problem documents (`wire.problems`), and what either side does with a file.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self
from urllib.parse import quote, unquote_to_bytes

from keystead.errors import BadInput

PATH: Final = "/files/"
"""Where files live; a file's target is this and its name, percent-encoded."""

MAX_NAME: Final = 255
"""Octets of a name in UTF-8: the longest that Linux file systems take (NAME_MAX)."""

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Octets of a list of files that a client reads."""

_DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"}
)
"""Names that Windows keeps for devices, whatever follows the first dot."""

_SHA256 = re.compile(r"(?:^|,)[ \t]*sha-256=:([A-Za-z0-9+/=]*):[ \t]*(?:;[^,]*)?(?=,|$)")


def parse_file_name(segment: bytes) -> str:
    """The file name in one segment of a request's target, percent-decoded once (RFC 3986, section 2.1).

    Raises `BadInput` for anything but a single visible name that every common file system can hold.
    """
    try:
        name = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise _bad_name(segment.decode("latin-1"), "it is not UTF-8") from None
    return check_file_name(name)


def check_file_name(name: str) -> str:
    """Give back ``name`` if the file service takes it; raise `BadInput` otherwise."""
    for is_wrong, why in _RULES:
        if is_wrong(name):
            raise _bad_name(name, why)
    return name


def _is_device(name: str) -> bool:
    return name.partition(".")[0].rstrip(" ").lower() in _DEVICES


_RULES: Final = (
    (lambda name: not name, "it is empty"),
    (lambda name: len(name.encode("utf-8", "replace")) > MAX_NAME, f"it is longer than {MAX_NAME} octets"),
    (lambda name: "/" in name or "\\" in name, "a name is one segment of a path, without / and \\"),
    (lambda name: name.startswith("."), "names that begin with a dot are the server's own"),
    (lambda name: not name.isprintable(), "it holds control or invisible characters"),
    (
        lambda name: name[-1:] in {".", " "} or name[:1] == " ",
        "a space at an end, or a dot at the end, gets lost",
    ),
    (_is_device, "Windows keeps that name for a device"),
)
"""What is wrong with a name, and the words for it; the order is that of the checks."""


def _bad_name(name: str, why: str) -> BadInput:
    return BadInput(
        f"{name[:MAX_NAME]!r} cannot name a file on the server",
        why=why,
        mend="send it under a plain name, such as report-2026.pdf",
        code="bad-file-name",
    )


def target_of(name: str) -> str:
    """The request target of the file ``name``."""
    return PATH + quote(name, safe="")


def digest_field(sha256: bytes) -> str:
    """A SHA-256 as the value of ``Repr-Digest`` (RFC 9530, section 3)."""
    return f"sha-256=:{base64.b64encode(sha256).decode('ascii')}:"


def parse_digest_field(value: str) -> bytes:
    """The SHA-256 in a ``Repr-Digest`` or ``Content-Digest`` (RFC 9530, sections 2 and 3).

    Raises `BadInput` where there is none that can be read: a digest that was sent and is not verified
    would be worse than none.
    """
    found = _SHA256.findall(value)
    try:
        # Of a key that is there twice the last value counts (RFC 9651, section 4.2.2).
        digest = base64.b64decode(found[-1], validate=True) if found else b""
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise BadInput(
            "the digest that came with the file cannot be verified",
            why="it is no SHA-256 in the form of RFC 9530",
            mend="send Repr-Digest: sha-256=:BASE64: or none",
            code="bad-digest",
        )
    return digest


def etag_of(sha256: bytes) -> str:
    """The strong entity tag of a file with this SHA-256 (RFC 9110, section 8.8.3)."""
    return f'"{sha256.hex()}"'


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the server says of a file that it took: name, octets, SHA-256."""

    name: str
    size: int
    sha256: bytes

    def to_json(self) -> bytes:
        """As the body of an answer."""
        return json.dumps({"name": self.name, "size": self.size, "sha256": self.sha256.hex()}).encode("ascii")

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """From the body of an answer; raises `BadInput`."""
        members = _load(data)
        try:
            return cls(str(members["name"]), int(members["size"]), bytes.fromhex(members["sha256"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise _bad_answer("it is no receipt for a file") from None


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in the list: name, octets, when it was received (aware, UTC), SHA-256."""

    name: str
    size: int
    modified: datetime
    sha256: bytes

    def as_members(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "name": self.name,
            "size": self.size,
            "modified": f"{self.modified:%Y-%m-%dT%H:%M:%SZ}",
            "sha256": self.sha256.hex(),
        }


def list_to_json(entries: Iterable[Entry]) -> bytes:
    """The list of files as the body of an answer."""
    return json.dumps([entry.as_members() for entry in entries]).encode("ascii")


def parse_list(data: bytes) -> tuple[Entry, ...]:
    """The list of files in the body of an answer; raises `BadInput`."""
    members = _load(data)
    try:
        return tuple(
            Entry(
                str(member["name"]),
                int(member["size"]),
                datetime.strptime(member["modified"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC),
                bytes.fromhex(member["sha256"]),
            )
            for member in members
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        raise _bad_answer("it is no list of files") from None


def _load(data: bytes) -> Any:
    if len(data) > MAX_ANSWER:
        raise _bad_answer(f"it is longer than {MAX_ANSWER:,} octets")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise _bad_answer("it is not JSON") from None


def _bad_answer(why: str) -> BadInput:
    return BadInput(
        "the server's answer cannot be understood",
        why=why,
        mend="check that the address is that of a keystead serve (--to URL)",
        code="bad-answer",
    )
