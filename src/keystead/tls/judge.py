"""What the revocation lists say of a chain that OpenSSL verifies, in OpenSSL's own numbers.

OpenSSL verifies the signature of a list at each handshake, over all its octets: 11 ms for 100,000 entries.
Lists whose signature was verified here once are therefore kept from it. It then finds for each certificate
of a chain that there is no list (`CRL_MISSING`), and nobody gets in unless the `Judge` knows better. Not
here: how OpenSSL is told (`tls.openssl`), and which lists are in force (`tls.crls`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import crypto

from keystead.tls.crls import CrlSet, ListInForce

GOOD = 0
CRL_MISSING = 3
CRL_NOT_YET_VALID = 11
CRL_HAS_EXPIRED = 12
REVOKED = 23
"""Of OpenSSL's X509_V_OK and X509_V_ERR_…, those that are given here."""

_MOST_RECERTIFIED = 64


class Judge:
    """Judges by the lists of ``crls`` that were verified here; a list past its nextUpdate for ``grace`` more.

    ``usable_until`` (Unix seconds) is the same for lists that OpenSSL itself looks into: none of them is
    waved through after it.
    """

    def __init__(
        self, crls: CrlSet, *, grace: timedelta, usable_until: float, clock: Callable[[], float]
    ) -> None:
        self._grace = grace.total_seconds()
        self._usable_until = usable_until
        self._clock = clock
        verified = [(entry.signer, entry) for entry in crls.lists.values() if entry.signer is not None]
        self._by_issuer: Mapping[bytes, ListInForce] = MappingProxyType(
            {signer.public_bytes(Encoding.DER): entry for signer, entry in verified}
        )
        self._by_key = {_name_and_key(signer): entry for signer, entry in verified}
        self._recertified = lru_cache(_MOST_RECERTIFIED)(self._find_recertified)

    def verdict(self, errno: int, depth: int, chain: Callable[[], Sequence[crypto.X509]]) -> int:
        """What to make of OpenSSL's finding ``errno`` at ``depth``: `GOOD` waves it through, others refuse.

        ``chain`` gives what OpenSSL built, leaf first, anchor last.
        """
        if errno == CRL_MISSING:
            certificates = chain()
            issuer = certificates[min(depth + 1, len(certificates) - 1)]  # the anchor is its own
            return self._look_up(certificates[depth], issuer)
        if errno == CRL_HAS_EXPIRED and self._clock() < self._usable_until:
            return GOOD
        return errno

    def _look_up(self, certificate: crypto.X509, issuer: crypto.X509) -> int:
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, issuer)
        entry = self._by_issuer.get(der) or self._recertified(der)
        if entry is None:
            return CRL_MISSING
        now = self._clock()
        if now < entry.this_update.timestamp():
            return CRL_NOT_YET_VALID
        if now >= entry.next_update.timestamp() + self._grace:
            return CRL_HAS_EXPIRED
        return REVOKED if certificate.get_serial_number() in entry.serials else GOOD

    def _find_recertified(self, der: bytes) -> ListInForce | None:
        """The list of a CA that is here under another certificate for the same name and key."""
        try:
            return self._by_key.get(_name_and_key(x509.load_der_x509_certificate(der)))
        except Exception:  # noqa: BLE001  OpenSSL reads what cryptography's parser refuses, in many ways
            return None


def _name_and_key(authority: x509.Certificate) -> tuple[bytes, bytes]:
    key = authority.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return authority.subject.public_bytes(), key
