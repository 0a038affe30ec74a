"""The renewal proof: how the holder of a live certificate's key vouches for the key that follows it.

It travels as one attribute of the CSR (RFC 2986, section 4.1), so that a renewal needs no other message:
canonical JSON of trust domain and serial number renewed, and the old key's signature over both and the new
public key. Not here: whether the certificate renewed is live (`policy`).
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystead.errors import BadInput
from keystead.pki.keys import PrivateKey, PublicKey, is_signed_by, sign
from keystead.pki.names import TrustDomain
from keystead.pki.serials import parse_serial

PROOF_OID = x509.ObjectIdentifier("2.25.89427105838231549026617320398811270633")
"""The attribute's type: an arc from a UUID, which needs no registration (ITU-T X.667, section 7)."""

_CONTEXT = b"keystead renewal proof, version 1"


@dataclass(frozen=True, slots=True)
class RenewalProof:
    """The serial number that is renewed (lower-case hex), in which trust domain, and the old key's signature.

    The trust domain stands there to be told about: what counts is the one that was signed.
    """

    trust_domain: TrustDomain
    serial: str
    signature: bytes

    def encode(self) -> bytes:
        """The attribute's value."""
        signature = base64.b64encode(self.signature).decode()
        fields = {"serial": self.serial, "signature": signature, "trust-domain": str(self.trust_domain)}
        return json.dumps(fields, separators=(",", ":")).encode()

    def is_by(self, old_key: PublicKeyTypes, trust_domain: TrustDomain, new_key: PublicKeyTypes) -> bool:
        """Whether the old key made it for this trust domain and this new key."""
        if self.trust_domain != trust_domain:
            return False
        statement = _statement(trust_domain, self.serial, new_key)
        return isinstance(old_key, PublicKey) and is_signed_by(old_key, self.signature, statement)


def prove(
    old_key: PrivateKey, trust_domain: TrustDomain, serial: str, new_key: PublicKeyTypes
) -> RenewalProof:
    """The proof that whoever holds ``old_key``, certified under ``serial``, wants ``new_key`` next."""
    return RenewalProof(trust_domain, serial, sign(old_key, _statement(trust_domain, serial, new_key)))


def decode(value: bytes) -> RenewalProof:
    """The proof in an attribute's value; raises `BadInput` for anything else."""
    try:
        fields = json.loads(value)
        signature = base64.b64decode(fields["signature"], validate=True)
        return RenewalProof(TrustDomain(fields["trust-domain"]), parse_serial(fields["serial"]), signature)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error, BadInput):
        raise BadInput("the CSR's renewal proof cannot be read", code="bad-proof") from None


def _statement(trust_domain: TrustDomain, serial: str, new_key: PublicKeyTypes) -> bytes:
    # No part but the last can hold a NUL, so the parts cannot be shifted against each other.
    spki = new_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b"\0".join((_CONTEXT, trust_domain.value.encode(), serial.encode(), spki))
