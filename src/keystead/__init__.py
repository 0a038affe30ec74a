"""keystead: mutual TLS for a team, from the first certificate to production.

The library's face: `client` gives an HTTP client that presents a folder's certificate, `peer` tells an ASGI
app behind ``keystead serve`` who is calling. Importing this imports nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keystead.errors import KeysteadError as KeysteadError
    from keystead.subscriber.fileclient.library import client as client
    from keystead.tls.peer import Peer as Peer
    from keystead.tls.peer import peer_of as peer

    __version__: str

__all__ = ["KeysteadError", "Peer", "__version__", "client", "peer"]

_PLACES = {
    "KeysteadError": ("keystead.errors", "KeysteadError"),
    "Peer": ("keystead.tls.peer", "Peer"),
    "client": ("keystead.subscriber.fileclient.library", "client"),
    "peer": ("keystead.tls.peer", "peer_of"),
}


def __getattr__(name: str) -> Any:
    """Names are looked up when they are first used (PEP 562)."""
    from importlib import import_module, metadata  # noqa: PLC0415  so that the import is free

    if name == "__version__":
        return metadata.version("keystead")
    try:
        module, attribute = _PLACES[name]
    except KeyError:
        raise AttributeError(f"module 'keystead' has no attribute {name!r}") from None
    return getattr(import_module(module), attribute)
