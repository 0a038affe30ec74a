"""The header of an age file (age-encryption.org/v1): what opens it, read before anything is opened.

Read apart because age's scrypt takes memory as the header says, and a library that cannot get it takes its
process down. Not here: the opening (`passphrases`, `identities`).
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass

from keystead.errors import BadInput

MAX_LOG_N = 22
"""age's own bound for a work factor that is taken from a file: 4 GiB."""

_BEGIN = b"-----BEGIN AGE ENCRYPTED FILE-----"
_END = b"-----END AGE ENCRYPTED FILE-----"
_VERSION = b"age-encryption.org/v1"
_LOG_N = re.compile(rb"[1-9][0-9]?")


@dataclass(frozen=True, slots=True)
class Header:
    """What opens the file: a passphrase, with scrypt's work factor log₂ N, or (None) an identity."""

    log_n: int | None

    @property
    def memory(self) -> int:
        """Bytes that opening takes: scrypt's 128·r·N with age's r = 8, and a little around it."""
        return 0 if self.log_n is None else scrypt_memory(self.log_n)


def scrypt_memory(log_n: int) -> int:
    """Bytes that a process takes for one scrypt of this work factor."""
    return (1024 << log_n) + (11 << 20)


def read_header(data: bytes, source: str) -> Header:
    """The header of ``data``, armored or not; `BadInput`, naming ``source``, where it is none."""
    version, *lines = _binary(data, source).split(b"\n", 64)
    if version != _VERSION:
        raise damaged(source, "it does not begin as an age file does")
    stanzas = [line.split(b" ")[1:] for line in lines if line.startswith(b"-> ")]
    passphrases = [stanza for stanza in stanzas if stanza[0] == b"scrypt"]
    if not stanzas:
        raise damaged(source, "its header names nothing that opens it")
    if not passphrases:
        return Header(None)
    if len(stanzas) > 1 or len(passphrases[0]) != 3 or not _LOG_N.fullmatch(passphrases[0][2]):
        raise damaged(source, "its header is not one that age writes for a passphrase")
    log_n = int(passphrases[0][2])
    if log_n > MAX_LOG_N:
        raise BadInput(
            f"{source} is not opened: it asks for {scrypt_memory(log_n) >> 30} GiB of memory",
            why=f"its scrypt work factor is {log_n}, and {MAX_LOG_N} is the most that is granted",
            mend="put the last copy of the file back; keystead did not write this one",
            code="excessive-work",
        )
    return Header(log_n)


def _binary(data: bytes, source: str) -> bytes:
    text = data.strip()
    if not text.startswith(_BEGIN):
        return data
    try:
        return binascii.a2b_base64(text.removeprefix(_BEGIN).removesuffix(_END))
    except binascii.Error:
        raise damaged(source, "its armor is not base64") from None


def damaged(source: str, why: str) -> BadInput:
    """The error for a file that is not as age wrote it."""
    return BadInput(
        f"{source} is not a sealed key, or is damaged",
        why=why,
        mend="put the last copy of the file back",
        code="damaged-seal",
    )
