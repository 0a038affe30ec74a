"""Private keys where none may be: found in what somebody sent, so that they can be barred.

Not here: barring them, and telling the person. Nothing of a private key leaves this module but the
fingerprint of its public half.
"""

from __future__ import annotations

import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from keystead.pki.fingerprints import Fingerprint
from keystead.pki.text import as_text

_PEM_HEADER = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----")
_PEM_BLOCK = re.compile(
    rb"-----BEGIN (?P<label>(?:[A-Z0-9]+ ){0,3}PRIVATE KEY)-----[^-]{1,65536}-----END (?P=label)-----"
)
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)


def holds_private_key(data: bytes) -> bool:
    """Whether ``data`` (PEM, DER or an OpenSSH file) holds a private key, encrypted or not."""
    data = as_text(data)
    if b"-----BEGIN" in data:
        return bool(_PEM_HEADER.search(data))
    return _is_der_private_key(data)


def leaked_keys(data: bytes) -> frozenset[Fingerprint]:
    """The public fingerprints of all private keys in ``data`` that can be read without a passphrase."""
    data = as_text(data)
    blocks = [match[0] for match in _PEM_BLOCK.finditer(data)] or [data]
    return frozenset(found for block in blocks if (found := _fingerprint(block)) is not None)


def _fingerprint(block: bytes) -> Fingerprint | None:
    for load in (
        serialization.load_pem_private_key,
        serialization.load_ssh_private_key,
        serialization.load_der_private_key,
    ):
        try:
            return Fingerprint.of_key(load(block, password=None).public_key())
        except _UNREADABLE:
            continue
    return None


def _is_der_private_key(data: bytes) -> bool:
    try:
        serialization.load_der_private_key(data, password=None)
    except TypeError:
        return True  # encrypted: a passphrase was missed, so it was a key
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True
