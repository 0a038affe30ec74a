"""Seals and opens age files by an X25519 identity: for a machine that starts with nobody there.

Not here: passphrases (`passphrases`), and where an identity comes from (`machine.secrets`).
"""

from __future__ import annotations

import pyrage

from keystead.custody.header import damaged
from keystead.errors import BadInput, Unavailable
from keystead.machine.secrets import AgeIdentity

_PREFIX = "AGE-SECRET-KEY-1"


def seal(data: bytes, identity: AgeIdentity) -> bytes:
    """``data`` sealed to every key of ``identity``, armored."""
    sealed: bytes = pyrage.encrypt(data, [key.to_public() for key in keys_of(identity)], armored=True)
    return sealed


def unseal(data: bytes, identity: AgeIdentity | None, source: str) -> bytes:
    """What ``data`` holds; ``source`` names it in errors.

    Raises `Unavailable` where there is no identity, `BadInput` where it is another's or the file damaged.
    """
    if identity is None:
        raise Unavailable(
            f"{source} is sealed to an age identity, and none was handed over",
            why="$CREDENTIALS_DIRECTORY is not set, or holds no file keystead-identity",
            mend="run it as a systemd service with LoadCredential=keystead-identity:FILE",
            code="no-age-identity",
        )
    try:
        plain: bytes = pyrage.decrypt(data, keys_of(identity))
    except pyrage.DecryptError as error:
        if str(error) != "No matching keys found":
            raise damaged(source, f"age says: {error}") from None
        raise BadInput(
            f"the age identity does not open {source}",
            why="the key was sealed to another identity",
            mend="hand over the identity of this environment",
            code="wrong-identity",
        ) from None
    return plain


def keys_of(identity: AgeIdentity) -> list[pyrage.x25519.Identity]:
    """The secret keys in it; `BadInput` where it holds none."""
    lines = [line.strip() for line in identity.reveal().splitlines()]
    try:
        keys = [pyrage.x25519.Identity.from_str(line) for line in lines if line.startswith(_PREFIX)]
    except pyrage.IdentityError:
        keys = []
    if not keys:
        raise BadInput(
            "the credential keystead-identity is not an age identity",
            why=f"it needs a line that begins with {_PREFIX}",
            mend="make one with: age-keygen -o FILE",
            code="bad-age-identity",
        )
    return keys
