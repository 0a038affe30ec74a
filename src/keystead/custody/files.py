"""Private keys in files of their own, unsealed: PKCS#8 in PEM, mode 0600 from birth, kept out of git.

So lie a subscriber's keys, and a CA's in environment ``dev`` alone. Not here: sealed keys (`vault`).
"""

from __future__ import annotations

from pathlib import Path

from keystead.machine.files import read_private, write_new
from keystead.machine.folders import keep_out_of_git
from keystead.pki.keys import PrivateKey, load_private_pem, private_pem

MAX_KEY_FILE = 64 << 10
"""Bytes; an RSA key of 8192 bits takes a tenth."""


def write_key(path: Path, key: PrivateKey) -> str:
    """Write ``key`` to ``path``, which must not exist (`AlreadyThere`).

    Gives back a warning where a ``.gitignore`` would let the key into git, else "".
    """
    warning = keep_out_of_git(path)
    write_new(path, private_pem(key))
    return warning


def read_key(path: Path) -> PrivateKey:
    """The key at ``path``; `Unavailable` where other accounts can read it, `BadInput` where it is no key."""
    return load_private_pem(read_private(path, MAX_KEY_FILE), str(path))
