"""Which server is meant: by an address that is given, by the environment, or by what worked last.

Not here: connecting to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from keystead.errors import BadInput, KeysteadError, WrongUsage
from keystead.machine.files import read_bounded, write_atomic
from keystead.pki.names import HostNames
from keystead.wire.place import place_of

VARIABLE: Final = "KEYSTEAD_SERVER"
DEFAULT: Final = "https://localhost:8443"

_LAST: Final = ".last-server"
_LIMIT: Final = 2048
_USUAL_PORT: Final = 8443
_PATHS: Final = frozenset({"", "/", "/files", "/files/"})


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Host and port of a server; the host as it is looked for in the certificate."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address that ``text`` names: ``https://HOST[:PORT]``, or short ``HOST[:PORT]``.

        Raises `WrongUsage` for anything else, and for a URL with a password.
        """
        is_short = "://" not in text
        try:
            parts = urlsplit(f"https://{text}" if is_short else text)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise _no_address(text, "host or port cannot be read") from None
        if parts.username is not None or parts.password is not None:
            raise WrongUsage(
                "a server's address with a user name or a password is not taken",
                why="the certificate says who you are, and a password in a command line is seen by others",
                mend=f"write it without: https://{parts.netloc.rpartition('@')[2]}",
            )
        if parts.scheme != "https":
            raise _no_address(text, f"{parts.scheme}:// is not mutual TLS")
        if not host or parts.path not in _PATHS or parts.query or parts.fragment:
            raise _no_address(text, "it must name a host and a port, and nothing beyond")
        try:
            HostNames.of([host])
        except BadInput:
            raise _no_address(text, f"{host!r} is neither a DNS name nor an IP address") from None
        return cls(host, port or (_USUAL_PORT if is_short else 443))

    @property
    def authority(self) -> str:
        """``host:port``, as the Host field has it."""
        return place_of(self.host, self.port)

    @property
    def url(self) -> str:
        """``https://host:port``."""
        return f"https://{self.authority}"


def _no_address(text: str, why: str) -> WrongUsage:
    return WrongUsage(
        f"{text!r} is not the address of a server", why=why, mend=f"write for example {DEFAULT} (--to URL)"
    )


def choose(given: str | None, environ: Mapping[str, str], folder: Path) -> ServerAddress:
    """The server to call: ``given``, then ``KEYSTEAD_SERVER``, then the folder's last, then localhost."""
    for text in (given, environ.get(VARIABLE)):
        if text:
            return ServerAddress.parse(text)
    with suppress(KeysteadError):  # a hint that cannot be read is none
        return ServerAddress.parse(read_bounded(folder / _LAST, _LIMIT).decode("utf-8", "replace").strip())
    return ServerAddress.parse(DEFAULT)


def remember(address: ServerAddress, folder: Path) -> None:
    """Note ``address`` as the last that worked from ``folder``; where that cannot be, nothing is lost."""
    text = f"{address.url}\n".encode()
    with suppress(KeysteadError):
        if read_bounded(folder / _LAST, _LIMIT) == text:
            return
    with suppress(KeysteadError):
        write_atomic(folder / _LAST, text)
