"""Whether a peer who once got in is still welcome: asked at every request and at every swap.

Not here: the handshake's verification (OpenSSL's) and who the peer is (`tls.peer`).
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509

from keystead.errors import Distrusted
from keystead.pki.certificates import common_name
from keystead.pki.expiry import when
from keystead.pki.serials import serial_hex
from keystead.tls.contexts import InForce
from keystead.tls.crls import issuer_id


class Standing:
    """One connection's peer, looked up again only when what is in force has changed.

    That happens to all connections at once: what does not change is read out of the chain beforehand.
    """

    __slots__ = ("_chain", "_checked", "_finding", "_issued", "_last", "_until")

    def __init__(self, chain: tuple[x509.Certificate, ...]) -> None:
        self._chain = chain
        self._issued = tuple((issuer_id(one), one.serial_number) for one in chain)
        self._last = min(one.not_valid_after_utc for one in chain).timestamp()
        self._checked: InForce | None = None
        self._finding: Distrusted | None = None
        self._until = 0.0

    def finding(self, current: InForce, now: float) -> Distrusted | None:
        """Why the peer is no longer let in (revoked, expired, crl-stale, unknown-ca …); None while it is.

        ``now`` is in Unix seconds.
        """
        if current is not self._checked:
            self._checked = current
            self._finding = self._look_up(current)
            issuers = (issuer for issuer, _ in self._issued)
            self._until = min(self._last, current.crls.usable_until(issuers, current.grace))
        if self._finding is None and now >= self._until:
            return _out_of_date(self._chain, datetime.fromtimestamp(now, UTC))
        return self._finding

    def _look_up(self, current: InForce) -> Distrusted | None:
        anchor = self._chain[-1]
        if anchor not in current.credentials.anchors:
            return Distrusted(
                f"the CA {common_name(anchor)!r} is no longer trusted here",
                mend="ask for a certificate of the CA that this server trusts now",
                code="unknown-ca",
            )
        for certificate, (issuer, serial) in zip(self._chain, self._issued, strict=True):
            if not current.crls.covers(issuer):
                return Distrusted(
                    f"the certificate of {common_name(certificate)!r} cannot be checked",
                    why="there is no revocation list of its issuer here",
                    mend="bring the newest crl.pem from the CA to the server",
                    code="crl-missing",
                )
            if current.crls.revoked(issuer, serial):
                return Distrusted(
                    f"the certificate of {common_name(certificate)!r} is revoked",
                    why=f"its serial number {serial_hex(serial)} is on the issuer's CRL",
                    mend="ask the CA for a new certificate: keystead csr NAME   (with a new key)",
                    code="revoked",
                )
        return None


def _out_of_date(chain: tuple[x509.Certificate, ...], now: datetime) -> Distrusted:
    for certificate in chain:
        if certificate.not_valid_after_utc <= now:
            return Distrusted(
                f"the certificate of {common_name(certificate)!r} has expired",
                why=f"it was valid until {when(certificate.not_valid_after_utc)}",
                mend="make a new key and CSR (an expired one proves nothing): keystead csr NAME",
                code="expired",
            )
    return Distrusted(
        "no certificate can be checked at this server at the moment",
        why="its revocation list is out of date beyond the grace",
        mend="bring the newest crl.pem from the CA to the server",
        code="crl-stale",
    )
