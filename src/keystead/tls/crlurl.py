"""The URL that a server takes its revocation lists from, checked before anything is asked there.

Not here: asking (`tls.crlget`), and what becomes of the answer (`tls.crlfetch`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self
from urllib.parse import urlsplit

from keystead.errors import BadInput, WrongUsage
from keystead.pki.names import HostNames
from keystead.wire.place import place_of

POLL: Final = timedelta(seconds=60)
"""Between two questions, unless told otherwise."""

_PORTS: Final = {"http": 80, "https": 443}
_MAX_OCTETS: Final = 2048
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_VISIBLE: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class CrlUrl:
    """``scheme`` is http or https; ``target`` is path and query, as the request line has them."""

    text: str
    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """What ``text`` names; raises `WrongUsage` for anything else, and for a URL with a password.

        Plain http is right for lists: they are signed, and https would need a revocation check of its own
        (RFC 5280, section 8).
        """
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise _no_url("host or port cannot be read") from None
        if parts.username is not None or parts.password is not None:
            raise WrongUsage(
                "a URL with a user name or a password is not taken",
                why="others see it in the list of processes, and a revocation list is public",
                mend="have it served without one, or bring it with a program that keeps the password:"
                " curl --netrc -o DIR/crl.pem URL",
            )
        if parts.scheme not in _PORTS:
            raise _no_url(f"{parts.scheme}:// is not spoken here")
        if not _VISIBLE.fullmatch(text) or len(text) > _MAX_OCTETS or parts.fragment:
            raise _no_url("it is too long, or has a space, a fragment, or a letter beyond ASCII")
        try:
            HostNames.of([host or ""])
        except BadInput:
            raise _no_url(f"{host or ''!r} is neither a DNS name nor an IP address") from None
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(text, parts.scheme, host or "", port or _PORTS[parts.scheme], target)

    @property
    def authority(self) -> str:
        """``host:port``, as the Host field has it (RFC 9110, section 7.2)."""
        if self.port != _PORTS[self.scheme]:
            return place_of(self.host, self.port)
        return place_of(self.host, self.port).rpartition(":")[0]


@dataclass(frozen=True, slots=True)
class Remote:
    """A URL, and how often it is asked."""

    url: CrlUrl
    poll: timedelta = POLL


def is_url(text: str) -> bool:
    """Whether ``text`` is meant as a URL rather than as a file's name."""
    return _SCHEME.match(text) is not None


def _no_url(why: str) -> WrongUsage:
    return WrongUsage(  # which says nothing of a password that may be in it
        "the URL of --crl cannot be used",
        why=why,
        mend="write for example --crl http://pki.example.org/crl.pem",
    )
