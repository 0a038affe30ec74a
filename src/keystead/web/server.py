"""The one server engine: listeners, our TLS transport, uvicorn's HTTP above it, and a graceful end.

Not here: what is served (an ASGI app), and the material's place on the disk (`tls.reloading`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from keystead.tls.reloading import CredentialSource
from keystead.web.limits import Limits

DEFAULT_LISTEN = ("localhost:8443",)

AsgiApp = Any
"""An ASGI 3 application; the protocol's own type says no more than this."""


@dataclass(frozen=True, slots=True)
class Address:
    """A bound address: ``host`` is numeric, ``port`` the real one where 0 was asked for."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def serve(
    app: AsgiApp,
    source: CredentialSource,
    *,
    listen: Sequence[str] = DEFAULT_LISTEN,
    limits: Limits = Limits(),  # noqa: B008  frozen
    log: TextIO = sys.stderr,
    on_ready: Callable[[tuple[Address, ...]], None] = lambda _: None,
) -> None:
    """Serve ``app`` until SIGTERM or SIGINT; then finish what runs within ``limits.stop_seconds`` and return.

    ``listen`` is "HOST:PORT" each; a name binds every address that it resolves to, port 0 one free port.
    ``log`` gets one JSON object a line: requests, refused handshakes, warnings. ``on_ready`` is called with
    the bound addresses once connections are accepted. Raises `KeysteadError` where nothing can be served:
    an address in use, material that does not load, no CRL.
    """
    raise NotImplementedError


@contextmanager
def serving(
    app: AsgiApp,
    source: CredentialSource,
    *,
    listen: Sequence[str] = ("127.0.0.1:0",),
    limits: Limits = Limits(),  # noqa: B008  frozen
    log: TextIO = sys.stderr,
) -> Iterator[tuple[Address, ...]]:
    """The same on a thread of its own, for tests and for `keystead demo`'s like: gives the bound addresses,
    and stops the server on leaving.
    """
    raise NotImplementedError
