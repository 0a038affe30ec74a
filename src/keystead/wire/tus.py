"""The tus protocol 1.0 (https://tus.io/protocols/resumable-upload) as both sides speak it: fields as values.

Pure, and bounded: what is longer, or otherwise spelt than the protocol has it, is refused. Not here: what
either side does with an upload.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Self

from keystead.errors import BadInput
from keystead.wire.files import check_file_name

PATH: Final = "/tus/"
"""Where uploads are created and listed; an upload's target is this and its id."""

VERSION: Final = "1.0.0"
"""The value of ``Tus-Resumable``."""

CHUNK_TYPE: Final = "application/offset+octet-stream"
"""The media type of every body that belongs to an upload."""

EXTENSIONS: Final = ("creation", "creation-with-upload", "checksum", "expiration", "termination")

ALGORITHMS: Final[Mapping[str, int]] = MappingProxyType({"sha1": 20, "sha256": 32})
"""What ``Upload-Checksum`` may be made by → its octets. A server must know SHA-1 (section *Checksum*)."""

MAX_METADATA: Final = 8 * 1024
"""Octets of an ``Upload-Metadata``."""

MAX_PAIRS: Final = 32
"""Keys in an ``Upload-Metadata``."""

MAX_UPLOADS: Final = 1_000
"""Uploads of one identity that are under way or were finished lately."""

_FILE_NAME: Final = "filename"
_OCTETS: Final = re.compile(r"[0-9]{1,18}")
_KEY: Final = re.compile(r"[!-+\--~]+")
_UPLOAD_ID: Final = re.compile(r"[0-9a-f]{32}")
_TARGET: Final = re.compile(r"(?:https://[^/]+)?/tus/([0-9a-f]{32})")
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE: Final = re.compile(
    rf"(?:{'|'.join(_DAYS)}), ([0-9]{{2}}) ({'|'.join(_MONTHS)}) ([0-9]{{4}})"
    r" ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)


def parse_octets(value: str | None, field: str) -> int:
    """The number in an ``Upload-Length`` or ``Upload-Offset``; raises `BadInput`, naming ``field``."""
    if value is None:
        raise _bad(f"{field} is missing")
    if _OCTETS.fullmatch(value) is None:
        raise _bad(f"{field} is {value[:40]!r}, and must be a number of octets")
    return int(value)


def is_upload_id(text: str) -> bool:
    """Whether an upload can have this id: 32 lower-case hexadecimal digits."""
    return _UPLOAD_ID.fullmatch(text) is not None


def target_of(upload_id: str) -> str:
    """The request target of an upload."""
    return PATH + upload_id


def parse_location(value: str) -> str:
    """The id of the upload that a ``Location`` names; raises `BadInput`."""
    match = _TARGET.fullmatch(value)
    if match is None:
        raise _bad("Location names no upload", code="bad-answer")
    return match[1]


def expires_field(moment: datetime) -> str:
    """``moment`` as the value of ``Upload-Expires``: an IMF-fixdate (RFC 9110, section 5.6.7)."""
    moment = moment.astimezone(UTC)
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment.day:02} {month} {moment.year:04} {moment:%H:%M:%S} GMT"


def parse_expires(value: str) -> datetime:
    """The moment in an ``Upload-Expires``, aware; raises `BadInput`."""
    match = _DATE.fullmatch(value)
    try:
        if match is None:
            raise ValueError
        day, month, *rest = match.groups()
        year, hour, minute, second = map(int, rest)
        return datetime(year, _MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise _bad("Upload-Expires is no date of HTTP", code="bad-answer") from None


@dataclass(frozen=True, slots=True)
class Checksum:
    """The value of an ``Upload-Checksum``: a name in `ALGORITHMS`, and the digest of a request's body."""

    algorithm: str
    digest: bytes

    @classmethod
    def parse(cls, value: str) -> Self:
        """From the field; raises `BadInput` for an unknown algorithm and for what is no digest of it."""
        algorithm, _, text = value.partition(" ")
        octets = ALGORITHMS.get(algorithm)
        if octets is None:
            known = " and ".join(ALGORITHMS)
            raise _bad(f"Upload-Checksum is made by {algorithm[:40]!r}; {known} are known", "bad-checksum")
        digest = _base64(text) if len(text) <= 4 * octets else None
        if digest is None or len(digest) != octets:
            raise _bad(f"Upload-Checksum holds no {algorithm} in base64", "bad-checksum")
        return cls(algorithm, digest)

    def to_field(self) -> str:
        """As the value of the field."""
        return f"{self.algorithm} {base64.b64encode(self.digest).decode('ascii')}"


@dataclass(frozen=True, slots=True)
class Metadata:
    """The value of an ``Upload-Metadata``: keys, each once, and their values, in the order of the sender."""

    pairs: tuple[tuple[str, bytes], ...] = ()

    @classmethod
    def of_file(cls, name: str) -> Self:
        """What names the file ``name``."""
        return cls(((_FILE_NAME, name.encode()),))

    @classmethod
    def parse(cls, value: str) -> Self:
        """From the field; raises `BadInput` for anything that the protocol does not have."""
        if len(value) > MAX_METADATA:
            raise _bad(f"Upload-Metadata is longer than {MAX_METADATA:,} octets")
        texts = value.split(",") if value else []
        if len(texts) > MAX_PAIRS:
            raise _bad(f"Upload-Metadata has more than {MAX_PAIRS} keys")
        pairs = tuple(_pair(text.strip(" \t")) for text in texts)
        if len({key for key, _ in pairs}) < len(pairs):
            raise _bad("Upload-Metadata has a key twice")
        return cls(pairs)

    def to_field(self) -> str:
        """As the value of the field."""
        return ",".join(
            f"{key} {base64.b64encode(value).decode('ascii')}".rstrip() for key, value in self.pairs
        )

    def file_name(self) -> str:
        """The name in ``filename``; raises `BadInput` where there is none, or none that may be used."""
        for key, value in self.pairs:
            if key == _FILE_NAME:
                try:
                    return check_file_name(value.decode())
                except UnicodeDecodeError:
                    raise _bad("the filename in Upload-Metadata is not UTF-8", "bad-file-name") from None
        raise _bad("Upload-Metadata names no file: the key filename is missing", "bad-file-name")


def _pair(text: str) -> tuple[str, bytes]:
    key, _, encoded = text.partition(" ")
    if _KEY.fullmatch(key) is None:
        raise _bad("Upload-Metadata has a key that is empty or not ASCII")
    value = _base64(encoded)
    if value is None:
        raise _bad(f"Upload-Metadata has a value that is not base64, that of {key[:40]!r}")
    return key, value


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None


@dataclass(frozen=True, slots=True)
class Pending:
    """An upload that is not finished, in the list at `PATH`, which is keystead's own and not of the protocol.

    ``is_busy`` says that a request is sending to it at this moment.
    """

    id: str
    name: str
    length: int
    offset: int
    expires: datetime
    is_busy: bool

    def as_members(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "id": self.id,
            "name": self.name,
            "length": self.length,
            "offset": self.offset,
            "expires": f"{self.expires:%Y-%m-%dT%H:%M:%SZ}",
            "busy": self.is_busy,
        }


def list_to_json(uploads: Iterable[Pending]) -> bytes:
    """The list of unfinished uploads as the body of an answer."""
    return json.dumps([upload.as_members() for upload in uploads]).encode("ascii")


def parse_list(data: bytes) -> tuple[Pending, ...]:
    """The list in the body of an answer; raises `BadInput`."""
    try:
        return tuple(_pending(member) for member in json.loads(data))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        raise _bad("the list of unfinished uploads cannot be understood", "bad-answer") from None


def _pending(member: Any) -> Pending:
    expires = datetime.strptime(member["expires"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    length, offset = int(member["length"]), int(member["offset"])
    if not (is_upload_id(member["id"]) and 0 <= offset <= length):
        raise ValueError
    return Pending(member["id"], str(member["name"]), length, offset, expires, bool(member["busy"]))


def _bad(what: str, code: str = "bad-tus-field") -> BadInput:
    return BadInput(what, mend="speak tus 1.0: https://tus.io/protocols/resumable-upload", code=code)
