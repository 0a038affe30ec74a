"""Private keys where none may be: found in what somebody sent, so that they can be barred.

Looked for are PEM, DER, PKCS#12, OpenSSH and JWK, beside anything else in the file, in UTF-16, as bare
base64, quoted by a mail program. Not here: barring them, and telling the person. Nothing of a private key
leaves this module but the fingerprint of its public half.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_pem_private_key,
    load_ssh_private_key,
    pkcs12,
)

from keystead.pki.fingerprints import Fingerprint
from keystead.pki.text import as_text

_LOOKED_INTO = 256 * 1024
"""Octets in which keys without a PEM header are looked for: more than any file of a CSR may have."""

_CANDIDATES = 200
"""Places in one file where base64 is decoded."""

_PEM_CSR_ALONE = re.compile(
    rb"\s*-----BEGIN (?P<label>(?:NEW )?CERTIFICATE REQUEST)-----[A-Za-z0-9+/=\s]*-----END (?P=label)-----\s*"
)
_PEM_HEADER = re.compile(rb"-----BEGIN [^\n-]{0,40}PRIVATE[ \t]+KEY[^\n-]{0,20}-----", re.IGNORECASE)
_PEM_FOOTER = re.compile(rb"-----END [^\n-]{1,60}-----")
_DER_KEY = re.compile(
    # A SEQUENCE that begins as PKCS#8 (RFC 5958), SEC1 (RFC 5915) and PKCS#1 (RFC 8017) do, or as an
    # encrypted PKCS#8 with the algorithms of PKCS#5 or PKCS#12.
    rb"\x30(?:[\x10-\x7f]|\x81.|\x82..)"
    rb"(?=\x02\x01[\x00\x01][\x30\x04\x02]|\x30[\x10-\x7f]\x06.\x2a\x86\x48\x86\xf7\x0d\x01[\x05\x0c])",
    re.DOTALL,
)
_PFX = re.compile(  # RFC 7292, section 4; indefinite lengths as some Java programs write them
    rb"\x30(?:\x80|\x82..|\x83...)"
    rb"\x02\x01\x03\x30(?:\x80|[\x0b-\x7f]|\x81.|\x82..|\x83...)\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07",
    re.DOTALL,
)
_BASE64_OF_A_SEQUENCE = re.compile(
    rb"(?:(?<![A-Za-z0-9+/_-])|(?<=\\n))(?=(M[A-P](?:[A-Za-z0-9+/_-]|\\[nr]|[\s>]){58,16384}))"
)
_BETWEEN_BASE64 = re.compile(rb"\\[nr]|[\s>]")
_JWK = re.compile(rb"\{[^{}]{0,16384}\}")
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, UnsupportedAlgorithm)

_URLSAFE = bytes.maketrans(b"-_", b"+/")
_LONGEST_BLOCK = 64 * 1024
_INDEFINITE = 0x80

_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
    "secp256k1": ec.SECP256K1(),
}
_OKP: Final[Mapping[str, Callable[[bytes], PrivateKeyTypes]]] = {
    "Ed25519": ed25519.Ed25519PrivateKey.from_private_bytes,
    "Ed448": ed448.Ed448PrivateKey.from_private_bytes,
}

_Finding = Fingerprint | None
"""The public half of a private key that was found; None where that is not known, as of an encrypted one."""


def holds_private_key(data: bytes) -> bool:
    """Whether ``data`` holds a private key, encrypted or not."""
    return any(True for _ in _findings(data))


def leaked_keys(data: bytes) -> frozenset[Fingerprint]:
    """The public fingerprints of all private keys in ``data`` that can be read without a passphrase.

    Each is worked out from the private half: who writes somebody else's public key beside it bars nothing.
    """
    return frozenset(finding for finding in _findings(data) if finding is not None)


def _findings(data: bytes) -> Iterator[_Finding]:
    text = as_text(data)
    if _PEM_CSR_ALONE.fullmatch(text):
        return  # as nearly every file is
    for view in dict.fromkeys((text, text.replace(b"\0", b""))):  # UTF-16 without its NULs is ASCII
        start = view[:_LOOKED_INTO]
        yield from _in_pem(view)
        yield from _in_der(start)
        yield from _in_base64(start)
        yield from _in_jwk(start)


def _in_pem(text: bytes) -> Iterator[_Finding]:
    for header in _PEM_HEADER.finditer(text):
        footer = _PEM_FOOTER.search(text, header.end(), header.end() + _LONGEST_BLOCK)
        yield _fingerprint(_load_block, text[header.start() : footer.end() if footer else header.end()])


def _in_der(octets: bytes) -> Iterator[_Finding]:
    for match in _DER_KEY.finditer(octets):
        try:
            key = load_der_private_key(_element(octets, match.start()), password=None)
        except TypeError:
            yield None  # encrypted: a passphrase was missed, so it was a key
        except (ValueError, UnsupportedAlgorithm):
            continue
        else:
            yield Fingerprint.of_key(key.public_key())
    for match in _PFX.finditer(octets):
        yield _fingerprint(_load_pfx, _element(octets, match.start()))


def _element(octets: bytes, start: int) -> bytes:
    """The element that begins at ``start``, without what follows it (X.690, section 8.1.3)."""
    first = octets[start + 1]
    if first == _INDEFINITE:
        return octets[start:]
    width = first & 0x7F if first > _INDEFINITE else 0
    length = int.from_bytes(octets[start + 2 : start + 2 + width], "big") if width else first
    return octets[start : start + 2 + width + length]


def _in_base64(text: bytes) -> Iterator[_Finding]:
    for match in islice(_BASE64_OF_A_SEQUENCE.finditer(text), _CANDIDATES):
        digits = _BETWEEN_BASE64.sub(b"", match[1]).translate(_URLSAFE)
        yield from _in_der(base64.b64decode(digits[: len(digits) // 4 * 4] + _padded(digits)))


def _padded(digits: bytes) -> bytes:
    over = len(digits) % 4
    return digits[-over:].ljust(4, b"=") if over > 1 else b""


def _in_jwk(text: bytes) -> Iterator[_Finding]:
    for match in _JWK.finditer(text):
        try:
            members = json.loads(match[0])
        except ValueError:
            continue
        if {"kty", "d"} <= members.keys():
            yield _fingerprint(_load_jwk, members)


def _fingerprint(load: Callable[[Any], PrivateKeyTypes], source: Any) -> _Finding:
    try:
        return Fingerprint.of_key(load(source).public_key())
    except _UNREADABLE:
        return None


def _load_block(block: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(block, password=None)
    except _UNREADABLE:
        return load_ssh_private_key(block, password=None)


def _load_pfx(pfx: bytes) -> PrivateKeyTypes:
    try:
        key = pkcs12.load_key_and_certificates(pfx, None)[0]
    except ValueError:
        key = pkcs12.load_key_and_certificates(pfx, b"")[0]  # which is another thing than none there
    if key is None:
        raise ValueError("it holds certificates alone")
    return key


def _load_jwk(members: Mapping[str, Any]) -> PrivateKeyTypes:
    """RFC 7518, section 6, and RFC 8037, section 2."""
    if members["kty"] == "OKP":
        return _OKP[members["crv"]](_octets(members["d"]))
    if members["kty"] == "EC":
        return ec.derive_private_key(_number(members["d"]), _CURVES[members["crv"]])
    p, q, d, dp, dq, qi, e, n = (
        _number(members[name]) for name in ("p", "q", "d", "dp", "dq", "qi", "e", "n")
    )
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(e, n)).private_key()


def _number(text: str) -> int:
    return int.from_bytes(_octets(text), "big")


def _octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
