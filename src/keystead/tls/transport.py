"""The plaintext side of a connection: what an HTTP protocol is given as its transport.

Not here: how octets become TLS (`tls.protocol`), to which everything is passed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography import x509
from OpenSSL import SSL, crypto

from keystead.tls.contexts import InForce
from keystead.tls.suites import NUMBERS

if TYPE_CHECKING:
    from keystead.tls.protocol import TLSProtocol


@dataclass(frozen=True, slots=True)
class Handshake:
    """What was agreed on: the peer's verified chain, leaf first, anchor last; version and suite by number.

    ``chain`` is empty where OpenSSL could read the certificates and we cannot.
    """

    chain: tuple[x509.Certificate, ...]
    tls_version: int
    cipher_suite: int | None
    in_force: InForce


def agreed(connection: SSL.Connection, in_force: InForce) -> Handshake:
    """What the finished handshake of ``connection`` agreed on. Never raises."""
    try:
        found = connection.get_verified_chain() or ()
        chain = tuple(_parsed(crypto.dump_certificate(crypto.FILETYPE_ASN1, one)) for one in found)
    except Exception:  # noqa: BLE001  OpenSSL reads what cryptography's parser refuses, in many ways
        chain = ()
    suite = NUMBERS.get(connection.get_cipher_name() or "")
    return Handshake(chain, connection.get_protocol_version(), suite, in_force)


@lru_cache(maxsize=256)
def _parsed(der: bytes) -> x509.Certificate:
    """Remembered, with all that is read out of it later: CAs and most clients come again."""
    return x509.load_der_x509_certificate(der)


class TLSTransport(asyncio.Transport):
    """An asyncio transport whose `close` ends TLS properly, and never later than the limits say."""

    def __init__(self, protocol: TLSProtocol, handshake: Handshake) -> None:
        super().__init__()
        self._protocol = protocol
        self.handshake = handshake

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As the raw transport; "sslcontext" is there too, which is how https is recognised."""
        if name == "sslcontext":
            return self.handshake.in_force.context
        return self._protocol.raw_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Who gets the plaintext from now on."""
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol.app = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who gets the plaintext."""
        assert self._protocol.app is not None
        return self._protocol.app

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._protocol.is_closing()

    def close(self) -> None:
        """Send what was written, then close_notify and FIN; drop what still arrives for a moment."""
        self._protocol.close()

    def abort(self) -> None:
        """Reset the connection at once."""
        self._protocol.abort(None)

    def pause_reading(self) -> None:
        """Stop `data_received`."""
        self._protocol.pause_reading()

    def resume_reading(self) -> None:
        """Go on; `data_received` is not called before this returns."""
        self._protocol.resume_reading()

    def is_reading(self) -> bool:
        """Whether `data_received` may be called."""
        return self._protocol.is_reading()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Queue ``data``; it is encrypted as fast as the peer reads."""
        self._protocol.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        """Queue each part."""
        for part in list_of_data:
            self._protocol.write(part)

    def can_write_eof(self) -> bool:
        """False: an end of one direction alone is not HTTP."""
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Kept as they are: the marks bound the server's memory, not the protocol's taste."""

    def get_write_buffer_size(self) -> int:
        """Octets written and not yet taken by the kernel."""
        return self._protocol.unsent()
