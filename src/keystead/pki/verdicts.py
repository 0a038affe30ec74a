"""What OpenSSL's certificate verification says, as words: one table, for the door, the client and `install`.

Not here: TLS alerts, which are what the other side tells about its own verdict (`tls.alerts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a chain is refused: a slug for machines and a sentence that begins after "the certificate"."""

    code: str
    sentence: str


UNKNOWN_CA = Verdict("unknown-ca", "was not issued by a CA that is trusted here")
EXPIRED = Verdict("expired", "has expired")
NOT_YET_VALID = Verdict("not-yet-valid", "is not valid yet")
REVOKED = Verdict("revoked", "is revoked")
WRONG_PURPOSE = Verdict("wrong-purpose", "was issued for another purpose (extended key usage)")
CRL_STALE = Verdict("crl-stale", "cannot be checked: the revocation list of its issuer is out of date")
CRL_MISSING = Verdict("crl-missing", "cannot be checked: there is no revocation list of its issuer")
CRL_INVALID = Verdict("crl-invalid", "cannot be checked: the revocation list of its issuer is not valid")
BAD_SIGNATURE = Verdict("bad-signature", "carries a signature that its issuer did not make")
BAD_PATH = Verdict("bad-path", "hangs under a chain that its CAs do not allow")
HOST_MISMATCH = Verdict("host-mismatch", "does not cover the host name")
IP_MISMATCH = Verdict("ip-mismatch", "does not cover the IP address")
WEAK = Verdict("weak", "uses a key or a signature that is too weak")
MALFORMED = Verdict("malformed", "is malformed")
NO_CERTIFICATE = Verdict("no-certificate", "was not presented")
FOREIGN_DOMAIN = Verdict("foreign-domain", "belongs to another environment")
NO_IDENTITY = Verdict("no-identity", "names no keystead identity")
UNKNOWN = Verdict("unverifiable", "could not be verified")

_BY_ERRNO: Mapping[Verdict, tuple[int, ...]] = {
    UNKNOWN_CA: (2, 18, 19, 20, 21, 27, 33),
    CRL_MISSING: (3, 44, 54),
    MALFORMED: (4, 6, 13, 14, 17, 34, 41, 42, 43, 51, 53, 78, 89, 90, 91, 92, 93, 94),
    CRL_INVALID: (5, 8, 11, 15, 16, 35, 36, 45),
    BAD_SIGNATURE: (7, 76),
    NOT_YET_VALID: (9,),
    EXPIRED: (10,),
    CRL_STALE: (12,),
    BAD_PATH: (
        22,
        24,
        25,
        28,
        29,
        30,
        31,
        32,
        37,
        38,
        40,
        47,
        48,
        49,
        50,
        52,
        79,
        80,
        81,
        82,
        83,
        84,
        85,
        86,
    ),
    REVOKED: (23,),
    WRONG_PURPOSE: (26,),
    HOST_MISMATCH: (62,),
    IP_MISMATCH: (64,),
    WEAK: (66, 67, 68),
}

VERDICTS: Mapping[int, Verdict] = MappingProxyType(
    {errno: verdict for verdict, errnos in _BY_ERRNO.items() for errno in errnos}
)
"""X509_V_ERR number → verdict (the numbers are part of OpenSSL's ABI: openssl/x509_vfy.h)."""


def verdict(errno: int) -> Verdict:
    """The verdict for one of OpenSSL's X509_V_ERR numbers; `UNKNOWN` for those that have none."""
    return VERDICTS.get(errno, UNKNOWN)
