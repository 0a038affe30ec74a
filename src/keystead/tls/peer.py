"""The verified peer: who is at the other end of a connection, as one typed value.

Not here: the verification. A `Peer` is made once a handshake has succeeded and every rule of DESIGN holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509

from keystead.pki.fingerprints import Fingerprint
from keystead.pki.names import Identity

SCOPE_KEY = "keystead.peer"
"""Where a request's ASGI scope carries its `Peer`: ``scope["extensions"][SCOPE_KEY]``."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A subscriber whose chain was verified: identity, and what revocation and expiry are checked by.

    ``serial`` is lower-case hex; ``issuer_key`` the authority key identifier of the leaf (bytes), which
    tells two issuers of one name apart; ``chain`` is leaf first, anchor last.
    """

    identity: Identity
    serial: str
    issuer_key: bytes
    not_after: datetime
    fingerprint: Fingerprint
    chain: tuple[x509.Certificate, ...]


def peer_of(scope: Mapping[str, Any]) -> Peer:
    """The peer of an ASGI scope that came through keystead's door; `KeyError` for any other scope."""
    peer = scope["extensions"][SCOPE_KEY]
    assert isinstance(peer, Peer)
    return peer
