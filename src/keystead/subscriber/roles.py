"""The two sides of a connection that a subscriber can be. Not here: who is good for which (`folder`)."""

from __future__ import annotations

from enum import StrEnum

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID


class Role(StrEnum):
    """What a command wants to be: the side of the connection that its certificate must be good for."""

    CLIENT = "client"
    SERVER = "server"

    @property
    def purpose(self) -> x509.ObjectIdentifier:
        """The extended key usage that it takes (RFC 5280, section 4.2.1.12)."""
        if self is Role.SERVER:
            return ExtendedKeyUsageOID.SERVER_AUTH
        return ExtendedKeyUsageOID.CLIENT_AUTH
