"""The manifest of a backup: what the archive holds, of which CA, as of when; and its one spelling in JSON.

Not here: how the files follow it (`packing`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Self

from keystead.ca import configuration
from keystead.ca.layout import ANCHOR, CONFIGURATION, INVENTORY, ISSUING_CERTIFICATE, LISTS, ROOT_CERTIFICATE
from keystead.custody.files import MAX_KEY_FILE
from keystead.errors import BadInput, KeysteadError, Unavailable
from keystead.pki.certificates import MAX_CERTIFICATE_OCTETS
from keystead.pki.names import TrustDomain
from keystead.pki.revocation import MAX_CRL_OCTETS

FORMAT: Final = "keystead-backup/1"
BARRED: Final = "barred.txt"

MAX_INVENTORY_OCTETS = (8 << 30) - 1
"""What a header of ustar can say; some five million certificates."""

MAX_MANIFEST_OCTETS = 64 << 10

LIMITS: Mapping[str, int] = MappingProxyType(
    {
        CONFIGURATION: configuration.MAX_OCTETS,
        ROOT_CERTIFICATE: MAX_CERTIFICATE_OCTETS,
        ISSUING_CERTIFICATE: MAX_CERTIFICATE_OCTETS,
        ANCHOR: MAX_CERTIFICATE_OCTETS,
        LISTS: MAX_CRL_OCTETS,
        "root.key": MAX_KEY_FILE,
        "root.key.age": MAX_KEY_FILE,
        "issuing.key": MAX_KEY_FILE,
        "issuing.key.age": MAX_KEY_FILE,
        BARRED: 64 << 20,
        INVENTORY: MAX_INVENTORY_OCTETS,
    }
)
"""Every file that an archive may hold, in its order there, with the most octets that it may have."""

REQUIRED = frozenset({CONFIGURATION, ROOT_CERTIFICATE, ISSUING_CERTIFICATE, ANCHOR, LISTS, BARRED, INVENTORY})

_HEX = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class File:
    """One file of an archive."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Head:
    """The newest head of the audit log: how many entries, the root over them (hex), the newest time."""

    entries: int
    root: str
    newest: datetime


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive says of itself. ``root`` is the root certificate's fingerprint, all 64 digits.

    ``backup`` names this one backup in the audit log, at its making and at each restore. ``certificates``
    and ``revocations`` count the inventory's; the latter those that were carried over, too.
    """

    backup: str
    made: datetime
    by: str
    environment: str
    trust_domain: TrustDomain
    root: str
    certificates: int
    revocations: int
    audit: Head
    files: tuple[File, ...]

    def file(self, name: str) -> File | None:
        """The file of that name, if the archive holds it."""
        return next((file for file in self.files if file.name == name), None)

    def encode(self) -> bytes:
        """The manifest as JSON: keys in this order, a line each, times in UTC to the second."""
        told = {
            "format": FORMAT,
            "backup": self.backup,
            "made": _spell(self.made),
            "by": self.by,
            "environment": self.environment,
            "trust-domain": self.trust_domain.value,
            "root": self.root,
            "certificates": self.certificates,
            "revocations": self.revocations,
            "audit": {
                "entries": self.audit.entries,
                "root": self.audit.root,
                "newest": _spell(self.audit.newest),
            },
            "files": [{"name": f.name, "size": f.size, "sha256": f.sha256} for f in self.files],
        }
        return json.dumps(told, indent=1, ensure_ascii=True).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes, source: str) -> Self:
        """The manifest that `encode` wrote, to the octet; ``source`` names the archive in errors.

        Raises `Unavailable` for a newer format, `BadInput` for anything else.
        """
        try:
            told = json.loads(data)
            if told["format"] != FORMAT:
                raise _newer(source, told["format"])
            manifest = cls._of(told)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise damaged(source, f"its manifest cannot be read: {error}") from None
        except BadInput as error:
            raise damaged(source, error.what) from None
        if manifest.encode() != data:
            raise damaged(source, "its manifest is not spelled as keystead spells one")
        return manifest

    @classmethod
    def _of(cls, told: Mapping[str, Any]) -> Self:
        trust_domain = TrustDomain(_text(told["trust-domain"]))
        audit, files = told["audit"], told["files"]
        return cls(
            backup=_matching(_ID, told["backup"]),
            made=datetime.fromisoformat(told["made"]),
            by=_text(told["by"]),
            environment=_same(told["environment"], trust_domain.environment),
            trust_domain=trust_domain,
            root=_matching(_HEX, told["root"]),
            certificates=_count(told["certificates"]),
            revocations=_count(told["revocations"]),
            audit=Head(
                _count(audit["entries"]),
                _matching(_HEX, audit["root"]),
                datetime.fromisoformat(audit["newest"]),
            ),
            files=_in_order(
                [File(f["name"], _count(f["size"]), _matching(_HEX, f["sha256"])) for f in files]
            ),
        )


def _in_order(files: list[File]) -> tuple[File, ...]:
    names = [file.name for file in files]
    if names != [name for name in LIMITS if name in names] or not REQUIRED.issubset(names):
        raise ValueError(f"an archive does not hold these files: {names!r}")
    if any(file.size > LIMITS[file.name] for file in files):
        raise ValueError("a file is larger than any of its kind")
    return tuple(files)


def _spell(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{value!r} is no text")
    return value


def _matching(pattern: re.Pattern[str], value: Any) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{value!r} is not hexadecimal as it should be")
    return value


def _same(value: Any, wanted: str) -> str:
    if value != wanted:
        raise ValueError(f"it says the environment {value!r}, and its trust domain says {wanted!r}")
    return wanted


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _newer(source: str, found: object) -> KeysteadError:
    return Unavailable(
        f"{source} was made by another keystead",
        why=f"its format is {str(found)[:40]!r}, and this keystead reads {FORMAT!r}",
        mend="install the keystead that made it, or a newer one",
        code="newer-format",
    )


def damaged(source: str, why: str) -> BadInput:
    """The error for what age has opened, and is no archive of keystead all the same."""
    return BadInput(
        f"{source} is no archive of keystead, or is damaged",
        why=why,
        mend="take another copy of it, or the archive before it",
        code="damaged-archive",
    )
