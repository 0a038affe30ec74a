"""A revocation list together with the octets that were signed, read and checked in small steps.

A list of 100,000 entries is 5 MB, and cryptography writes it out anew wherever its octets are asked for: a
tenth of a second each time, in which no other thread of the process runs. Here the octets are kept as they
came, and ``pause`` is called between steps of about a millisecond. Not here: which list is in force
(`tls.crls`), and making one (`revocation`).
"""

from __future__ import annotations

import hashlib
import sys
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.pki.keys import SHA2
from keystead.pki.text import without_mark

Pause = Callable[[], None]
"""Called between two steps, so that whoever is in a hurry gets a turn."""


def no_pause() -> None:
    """For those who have nobody waiting."""


_BEGIN = b"-----BEGIN X509 CRL-----"
_END = b"-----END X509 CRL-----"
_STEP_TEXT = 256 * 1024
_STEP_OCTETS = 1024 * 1024
_STEP_ENTRIES = 1000
_LINE_OCTETS = 48
"""In one line of PEM, which has 64 characters (RFC 7468, section 2)."""

_STEP_LINES = 2048

_CRITICAL = b"\x01\x01\xff\x04"
"""In DER a critical extension has TRUE before its value (RFC 5280, section 4.1), and no other one has."""


@dataclass(frozen=True, slots=True)
class SignedList:
    """``der`` is the whole list as it came, ``crl`` the same, parsed."""

    der: bytes
    crl: x509.CertificateRevocationList

    @classmethod
    def parse(cls, der: bytes, pause: Pause = no_pause) -> SignedList:
        """The list in ``der``; raises `ValueError` and whatever else the parser has."""
        crl = x509.load_der_x509_crl(der)
        pause()
        return cls(der, crl)

    @classmethod
    def of(cls, crl: x509.CertificateRevocationList) -> SignedList:
        """A list of which only the parsed form is at hand."""
        return cls(crl.public_bytes(Encoding.DER), crl)

    def is_signed_by(self, issuer: x509.Certificate) -> bool:
        """Whether the key of ``issuer`` signed it, in its name (RFC 5280, section 6.3.3, (f) and (g))."""
        if self.crl.issuer != issuer.subject:
            return False
        key, hash_ = issuer.public_key(), self.crl.signature_hash_algorithm
        if not isinstance(key, _HASHED) or not isinstance(hash_, SHA2):
            return self._is_signed_by_others(key)
        digest = hashlib.new(hash_.name, _signed_part(self.der)).digest()  # in which other threads run
        try:
            if isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(self.crl.signature, digest, ec.ECDSA(Prehashed(hash_)))
            else:
                scheme = self.crl.signature_algorithm_parameters
                if not isinstance(scheme, padding.PKCS1v15 | padding.PSS):
                    return False
                key.verify(self.crl.signature, digest, scheme, Prehashed(hash_))
        except InvalidSignature:
            return False
        return True

    def _is_signed_by_others(self, key: PublicKeyTypes) -> bool:
        """Ed25519 and the like take the whole list at once."""
        try:
            return self.crl.is_signature_valid(key)  # type: ignore[arg-type]  # others raise TypeError
        except TypeError:
            return False

    def serials(self, pause: Pause = no_pause) -> frozenset[int]:
        """All serial numbers on it."""
        entries, found = iter(self.crl), set[int]()
        while step := [entry.serial_number for entry in islice(entries, _STEP_ENTRIES)]:
            found.update(step)
            pause()
        return frozenset(found)

    def has_critical_entry(self, pause: Pause = no_pause) -> bool:
        """Whether an entry has a critical extension (RFC 5280, section 5.3: who does not know it may not
        use the list). Looking at each takes long, so it is only done where the octets may hold one.
        """
        if not self._may_have_critical_entry(pause):
            return False
        for number, entry in enumerate(self.crl):
            if any(extension.critical for extension in entry.extensions):
                return True
            if number % (_STEP_ENTRIES // 4) == 0:
                pause()
        return False

    def _may_have_critical_entry(self, pause: Pause) -> bool:
        for start in range(0, len(self.der), _STEP_OCTETS):
            if self.der.find(_CRITICAL, start, start + _STEP_OCTETS + len(_CRITICAL) - 1) >= 0:
                return True
            pause()
        return False

    def pem(self, pause: Pause = no_pause) -> bytes:
        """As PEM."""
        pem = b"".join(_armoured(self.der, pause))
        pause()
        return pem


_HASHED = (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)
"""Kinds of keys that sign a digest of what they sign."""


def find_lists(data: bytes, pause: Pause = no_pause, *, most: int = sys.maxsize) -> list[bytes]:
    """The DER of each list in ``data``, which is PEM (one or more) or one list in DER.

    Looks no further than one beyond ``most``: a few octets each, there could be a million of them. Raises
    `ValueError` where a block of PEM is damaged, and gives none where none is whole.
    """
    data = without_mark(data)
    if b"-----BEGIN" not in data:
        return [data]
    found: list[bytes] = []
    start = data.find(_BEGIN)
    while start >= 0 and len(found) <= most:
        start += len(_BEGIN)
        end = data.find(b"-", start)
        if data.startswith(_END, end):
            found.append(_unarmoured(data, start, end, pause))
        start = data.find(_BEGIN, start if end < 0 else end)
    return found


def _unarmoured(data: bytes, start: int, end: int, pause: Pause) -> bytes:
    octets, rest = [], b""
    for at in range(start, end, _STEP_TEXT):
        text = rest + data[at : min(at + _STEP_TEXT, end)].translate(None, b" \t\r\n")
        if rest.endswith(b"="):
            raise ValueError("something follows the padding")
        whole = len(text) // 4 * 4
        if text[:whole].endswith(b"="):
            whole -= 4  # the end, or an error: decided by what follows
        octets.append(a2b_base64(text[:whole], strict_mode=True))
        rest = text[whole:]
        pause()
    octets.append(a2b_base64(rest, strict_mode=True))
    der = b"".join(octets)
    pause()
    return der


def _armoured(der: bytes, pause: Pause) -> Iterator[bytes]:
    yield _BEGIN + b"\n"
    step = _STEP_LINES * _LINE_OCTETS
    for start in range(0, len(der), step):
        part = der[start : start + step]
        yield b"".join(b2a_base64(part[at : at + _LINE_OCTETS]) for at in range(0, len(part), _LINE_OCTETS))
        pause()
    yield _END + b"\n"


def _signed_part(der: bytes) -> memoryview:
    """The first element of the list (RFC 5280, section 5.1.1): it was parsed before, and its DER is sound."""
    start, _ = _content(der, 0)
    _, end = _content(der, start)
    return memoryview(der)[start:end]


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at ``at`` begins and ends."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[at + 2 : start])
    return start, start + length
