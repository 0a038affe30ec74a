"""A subscriber's private key as a file: read where nobody else can, and judged where it is to be certified.

Not here: the certificate that it belongs to (`pair`), and writing it (`request`).
"""

from __future__ import annotations

from pathlib import Path

from keystead.custody.files import MAX_KEY_FILE
from keystead.errors import Refused
from keystead.machine.files import read_private
from keystead.pki.keys import PrivateKey, load_private_pem, weaknesses
from keystead.pki.text import as_text


def read_key(path: Path) -> bytes:
    """The octets of a private key's file, which nobody else may be able to read."""
    return as_text(read_private(path, MAX_KEY_FILE))


def certifiable_key(path: Path) -> PrivateKey:
    """The key at ``path``; raises `Refused` where no CA may certify it."""
    key = load_private_pem(read_key(path), str(path))
    if weak := weaknesses(key.public_key()):
        raise Refused(f"{path} is too weak to be certified", weak)
    return key
