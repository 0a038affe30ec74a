"""Fingerprints of keys and certificates, and how a person compares them."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystead.errors import WrongUsage

SHOWN_DIGITS = 32
"""Hex digits shown: 128 bits, beyond the reach of a second preimage, short enough to be read aloud."""


@dataclass(frozen=True)
class Fingerprint:
    """A SHA-256: of a key's SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) or of a certificate's DER."""

    digest: bytes

    @classmethod
    def of_key(cls, key: PublicKeyTypes) -> Self:
        """The fingerprint of a public key."""
        return cls.of_spki(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    @classmethod
    def of_spki(cls, spki: bytes) -> Self:
        """The fingerprint of a SubjectPublicKeyInfo in DER."""
        return cls(sha256(spki).digest())

    @classmethod
    def of_certificate(cls, certificate: x509.Certificate) -> Self:
        """The fingerprint of a certificate."""
        return cls(sha256(certificate.public_bytes(Encoding.DER)).digest())

    @property
    def hex(self) -> str:
        """The whole digest, 64 lower-case hex digits: how databases hold it."""
        return self.digest.hex()

    def matches(self, text: str) -> bool:
        """Whether ``text``, as a person types it (any case, with ``:``, ``-`` or spaces), names this.

        It must be the 128 bits that are shown or all 256; for anything else `WrongUsage` is raised, for a
        shorter prefix could be forged.
        """
        digits = re.sub(r"[\s:.-]", "", text.removeprefix("SHA256:")).lower()
        if len(digits) not in (SHOWN_DIGITS, 64) or not re.fullmatch(r"[0-9a-f]+", digits):
            raise WrongUsage(
                f"{text!r} is not a fingerprint",
                why="a fingerprint is eight groups of four hex digits, or all 64 digits; never less",
                mend="give it as it was shown, such as 3f2a:90c1:…:77de",
            )
        return hmac.compare_digest(digits, self.hex[: len(digits)])

    def __str__(self) -> str:
        """Eight groups of four hex digits."""
        return ":".join(self.hex[i : i + 4] for i in range(0, SHOWN_DIGITS, 4))
