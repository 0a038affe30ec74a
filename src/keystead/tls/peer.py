"""The verified peer: who is at the other end of a connection, as one typed value.

Not here: the verification of the chain, which is OpenSSL's. A `Peer` is made once a handshake has succeeded
and every rule of names holds too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography import x509

from keystead.errors import Distrusted
from keystead.pki.certificates import authority_key_id, identity_of, trust_domain_of_ca
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.names import Identity, TrustDomain
from keystead.pki.serials import serial_hex

SCOPE_KEY = "keystead.peer"
"""Where a request's ASGI scope carries its `Peer`: ``scope["extensions"][SCOPE_KEY]``."""

CRLS_KEY = "keystead.crls"
"""Where it carries the revocation lists in force, as PEM: ``scope["extensions"][CRLS_KEY]``."""


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


@lru_cache(maxsize=256)
def recognise(chain: tuple[x509.Certificate, ...], own: TrustDomain) -> Peer:
    """Who a verified ``chain`` (leaf first, anchor last) speaks for; ``own`` is the server's trust domain.

    Remembered for those who come again: whether they are still welcome is asked of `tls.standing`. Raises
    `Distrusted`: ``no-identity`` where a certificate of the chain names none, ``foreign-domain``
    where one names another trust domain than ``own``, ``malformed`` where the chain could not be read.
    """
    if not chain:
        raise Distrusted("the client's certificate cannot be read", code="malformed")
    leaf, *authorities = chain
    identity = identity_of(leaf)
    for domain in (identity.trust_domain, *map(_domain_of, authorities)):
        if domain != own:
            raise Distrusted(
                f"the certificate of {identity} belongs to {domain}, and this server to {own}",
                why="an environment trusts its own certificates only, whatever CA is trusted besides",
                mend=f"use a certificate of {own}, or the server of {domain}",
                code="foreign-domain",
            )
    return Peer(
        identity=identity,
        serial=serial_hex(leaf.serial_number),
        issuer_key=authority_key_id(leaf),
        not_after=leaf.not_valid_after_utc,
        fingerprint=Fingerprint.of_certificate(leaf),
        chain=chain,
    )


@lru_cache(maxsize=128)
def _domain_of(authority: x509.Certificate) -> TrustDomain:
    """Remembered, for most peers share their CAs."""
    return trust_domain_of_ca(authority)


def peer_of(scope: Mapping[str, Any]) -> Peer:
    """The peer of an ASGI scope that came through keystead's door; `KeyError` for any other scope."""
    peer = scope["extensions"][SCOPE_KEY]
    assert isinstance(peer, Peer)
    return peer


def crls_of(scope: Mapping[str, Any]) -> bytes:
    """The revocation lists in force (PEM) of an ASGI scope that came through keystead's door."""
    crls = scope["extensions"][CRLS_KEY]
    assert isinstance(crls, bytes)
    return crls
