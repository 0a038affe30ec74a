"""A file server in this process, seen by callers whose peers are made by hand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from keystead.pki.fingerprints import Fingerprint
from keystead.pki.names import Identity, TrustDomain
from keystead.subscriber.fileserver.limits import UploadLimits
from keystead.subscriber.fileserver.shelf import Store
from keystead.tls.peer import CRLS_KEY, SCOPE_KEY, Peer

DOMAIN = TrustDomain("dev.example.internal")
CRLS = b"-----BEGIN X509 CRL-----\n"
NO_SPARE = UploadLimits(spare=0)


def peer(name: str, profile: str = "client") -> Peer:
    """Somebody whom the door let in."""
    return Peer(
        identity=Identity(DOMAIN, profile, name),
        serial="1f",
        issuer_key=b"k",
        not_after=datetime(2030, 1, 1, tzinfo=UTC),
        fingerprint=Fingerprint(b"\0" * 32),
        chain=(),
    )


@dataclass(frozen=True)
class Server:
    """The app as one caller sees it."""

    app: Any
    store: Store
    caller: Peer

    def as_(self, name: str, profile: str = "client") -> "Server":
        """The same server, seen by another caller."""
        return Server(self.app, self.store, peer(name, profile))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"] = {SCOPE_KEY: self.caller, CRLS_KEY: CRLS}
        await self.app(scope, receive, send)

    @property
    def folder(self) -> Path:
        """Where the caller's files lie."""
        return self.store.shelf(self.caller.identity).folder

    def names(self) -> list[str]:
        """What lies in the caller's folder, bar the .gitignore."""
        if not self.folder.exists():
            return []
        return sorted(path.name for path in self.folder.iterdir() if path.name != ".gitignore")

    async def ask(self, method: str, target: str, **options: Any) -> httpx2.Response:
        """One request."""
        transport = httpx2.ASGITransport(self)
        async with httpx2.AsyncClient(transport=transport, base_url="https://server") as client:
            return await client.request(method, target, **options)

    def __getattr__(self, method: str) -> Callable[..., httpx2.Response]:
        return lambda target, **options: asyncio.run(self.ask(method.upper(), target, **options))


async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    """A body without a length."""
    for piece in pieces:
        yield piece
