"""Who is on a connection, whether they are still welcome, and what an ASGI scope says of them.

Not here: HTTP (`web.gate`, `web.http`), and how a chain is judged (`tls.standing`, `tls.peer`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.errors import Distrusted
from keystead.pki.names import TrustDomain
from keystead.tls.contexts import Holder
from keystead.tls.peer import CRLS_KEY, SCOPE_KEY, Peer, recognise
from keystead.tls.standing import Standing
from keystead.tls.transport import Handshake
from keystead.wire.problems import Problem


@lru_cache(maxsize=128)
def _pem(certificate: x509.Certificate) -> str:
    """Remembered, for most clients share their issuing CA, and come again."""
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


@lru_cache(maxsize=128)
def _subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


class Visitor:
    """One connection's peer. ``cut`` ends the connection, with a problem where there is a way to say it."""

    def __init__(
        self,
        handshake: Handshake,
        address: str,
        holder: Holder,
        cut: Callable[[Problem], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.address = address
        self.cut = cut
        self._handshake = handshake
        self._holder = holder
        self._clock = clock
        self._standing = Standing(handshake.chain) if handshake.chain else None
        self._recognised_by: TrustDomain | None = None
        self._peer: Peer | Distrusted
        self._tls: dict[str, Any] | None = None

    @property
    def peer(self) -> Peer | None:
        """The peer, if it is somebody here."""
        found = self._recognise()
        return found if isinstance(found, Peer) else None

    def objection(self) -> Problem | None:
        """Why no request of this peer is served (403); None where it is welcome."""
        found = self._recognise()
        if isinstance(found, Distrusted):
            return Problem.from_error(found, 403)
        assert self._standing is not None
        finding = self._standing.finding(self._holder.current, self._clock())
        return Problem.from_error(finding, 403) if finding is not None else None

    def extensions(self) -> dict[str, Any]:
        """What a scope's ``extensions`` get: "tls" of the ASGI TLS extension 0.2, the `Peer`, the CRLs."""
        if self._tls is None:
            chain = self._handshake.chain
            self._tls = {
                "server_cert": self._handshake.in_force.server_pem,
                "client_cert_chain": [_pem(certificate) for certificate in chain[:-1]],
                "client_cert_name": _subject(chain[0]),
                "client_cert_error": None,
                "tls_version": self._handshake.tls_version,
                "cipher_suite": self._handshake.cipher_suite,
            }
        return {
            "tls": dict(self._tls),
            SCOPE_KEY: self.peer,
            CRLS_KEY: self._holder.current.crls_pem,
        }

    def _recognise(self) -> Peer | Distrusted:
        own = self._holder.current.credentials.trust_domain
        if own != self._recognised_by:
            self._recognised_by = own
            try:
                self._peer = recognise(self._handshake.chain, own)
            except Distrusted as stranger:
                self._peer = stranger
        return self._peer
