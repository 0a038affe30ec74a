"""The cipher suites that a server agrees to, by OpenSSL's names, with their registered numbers.

All of them have forward secrecy and authenticated encryption. Not here: key exchange (`tls.contexts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

TLS_1_3: Mapping[str, int] = MappingProxyType(
    {
        "TLS_AES_256_GCM_SHA384": 0x1302,
        "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
        "TLS_AES_128_GCM_SHA256": 0x1301,
    }
)
"""RFC 8446, appendix B.4; TLS 1.3 has no others worth a name, and OpenSSL offers these by itself."""

TLS_1_2: Mapping[str, int] = MappingProxyType(
    {
        "ECDHE-ECDSA-AES256-GCM-SHA384": 0xC02C,
        "ECDHE-RSA-AES256-GCM-SHA384": 0xC030,
        "ECDHE-ECDSA-CHACHA20-POLY1305": 0xCCA9,
        "ECDHE-RSA-CHACHA20-POLY1305": 0xCCA8,
        "ECDHE-ECDSA-AES128-GCM-SHA256": 0xC02B,
        "ECDHE-RSA-AES128-GCM-SHA256": 0xC02F,
    }
)
"""What RFC 9325, section 4.2 recommends of TLS 1.2: RFC 5289 and RFC 7905."""

NUMBERS: Mapping[str, int] = MappingProxyType({**TLS_1_3, **TLS_1_2})
"""Each suite's number, as the ASGI TLS extension gives it."""
