"""Seals a stream of any length into one file, to recipients or with a passphrase, and opens it again.

To recipients the file is one that age writes. age's passphrases work on what lies in memory; so a passphrase
seals an identity that was made for this one file, in age's armor, and behind it follows what is sealed to
that identity. Nothing is trusted before age has authenticated it, but pieces come out before the end is
known to be right: who takes them must be ready to throw them away.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BufferedReader
from typing import Any, Protocol

import pyrage

from keystead.custody import passphrases
from keystead.custody.recipients import Opener, Recipients
from keystead.errors import BadInput, KeysteadError
from keystead.machine.memory import room
from keystead.machine.secrets import Passphrase

ARMOR = b"-----BEGIN AGE ENCRYPTED FILE-----"
_BINARY = b"age-encryption.org/"
_ARMOR_ENDS = b"-----END AGE ENCRYPTED FILE-----\n"
_MAX_ARMOR_LINES = 64
"""An armored identity of 75 octets has ten lines."""

_MAX_LINE = 256
_FOREIGN = "No matching keys found"


class Readable(Protocol):
    """What is sealed is read from it."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` octets, none at the end."""


class Sink(Protocol):
    """What was opened, or sealed, is written into it."""

    def write(self, data: bytes, /) -> int:
        """Take all of ``data``; how many octets that are."""

    def flush(self) -> None:
        """Nothing is kept back."""


class _Watched:
    """An end of pyrage's pipe that remembers what went wrong at it: pyrage itself keeps the text alone."""

    def __init__(self, end: Any) -> None:
        self._end = end
        self.error: BaseException | None = None

    def read(self, size: int) -> bytes:
        data: bytes = self._watch(self._end.read, size)
        return data

    def write(self, data: bytes) -> int:
        written: int = self._watch(self._end.write, data)
        return written

    def flush(self) -> None:
        self._watch(self._end.flush)

    def _watch(self, call: Callable[..., Any], *arguments: Any) -> Any:
        if self.error is not None:  # pyrage flushes even so
            raise self.error
        try:
            return call(*arguments)
        except BaseException as error:  # an interrupt too: it would come out as a sentence
            self.error = error
            raise


def seal(source: Readable, sink: Sink, to: Recipients | Passphrase) -> None:
    """Read ``source`` to its end, and write it sealed into ``sink``.

    Raises `Unavailable` where there is no memory for a passphrase, and what the two ends raise.
    """
    if isinstance(to, Passphrase):
        identity = pyrage.x25519.Identity.generate()
        sink.write(passphrases.seal(f"{identity}\n".encode(), to, "the archive", room()))
        keys: tuple[Any, ...] = (identity.to_public(),)
    else:
        keys = to.keys
    ends = (_Watched(source), _Watched(sink))
    try:
        pyrage.encrypt_io(*ends, list(keys))
    except (pyrage.EncryptError, OSError):
        _raise_first(ends)
        raise


def wants_passphrase(file: BufferedReader, source: str) -> bool:
    """Whether the sealed ``file``, at its beginning and named ``source``, is opened by a passphrase.

    It is read no further. Raises `BadInput` where it is not sealed at all.
    """
    start = file.peek(len(ARMOR))
    if not start.startswith((ARMOR, _BINARY)):
        raise _damaged(source, "it does not begin as an age file does")
    return start.startswith(ARMOR)


def open_sealed(file: BufferedReader, sink: Sink, by: Opener | Passphrase, source: str) -> None:
    """Write into ``sink`` what is sealed in ``file``, which is at its beginning and named ``source``.

    Raises `BadInput` where ``by`` does not open it or the file is not as it was sealed, `Unavailable` where
    there is no memory for a passphrase, and what the two ends raise.
    """
    keys = _unlock(file, by, source) if isinstance(by, Passphrase) else by.keys
    ends = (_Watched(file), _Watched(sink))
    try:
        pyrage.decrypt_io(*ends, list(keys))
    except (pyrage.DecryptError, OSError, KeysteadError) as error:
        _raise_first(ends)
        if str(error) == _FOREIGN and isinstance(by, Opener):
            raise _not_for(by, source) from None
        raise _damaged(source, f"age says: {error}") from None


def _unlock(file: BufferedReader, passphrase: Passphrase, source: str) -> tuple[Any, ...]:
    armor = b"".join(_armor(file, source))
    try:
        identity = passphrases.unseal(armor, passphrase, source, room()).decode().strip()
        return (pyrage.x25519.Identity.from_str(identity),)
    except BadInput as error:
        raise _WORDS.get(error.code, _damaged)(source, error.why) from None
    except (pyrage.IdentityError, UnicodeDecodeError):
        raise _damaged(source, "what its passphrase opens is no age identity") from None


def _armor(file: BufferedReader, source: str) -> list[bytes]:
    lines: list[bytes] = []
    while not lines or lines[-1] != _ARMOR_ENDS:
        line = file.readline(_MAX_LINE)
        if not line.endswith(b"\n") or len(lines) == _MAX_ARMOR_LINES:
            raise _damaged(source, "the part that the passphrase opens does not end")
        lines.append(line)
    return lines


def _raise_first(ends: tuple[_Watched, ...]) -> None:
    for end in ends:
        if end.error is not None:
            raise end.error from None


def _wrong_passphrase(source: str, why: str) -> BadInput:
    return BadInput(
        f"the passphrase does not open {source}",
        why="it is not the one that the archive was sealed with (the CA keys' own may be another)",
        mend="type it again, or look into the file that was named as --archive-passphrase-file",
        code="wrong-passphrase",
    )


def _too_much_work(source: str, why: str) -> BadInput:
    return BadInput(f"{source} is not opened: it asks for too much memory", why=why, code="excessive-work")


_WORDS: dict[str, Callable[[str, str], BadInput]] = {
    "wrong-passphrase": _wrong_passphrase,
    "excessive-work": _too_much_work,
}


def _not_for(opener: Opener, source: str) -> BadInput:
    return BadInput(
        f"{opener.source} does not open {source}",
        why="the archive was sealed to other keys",
        mend="name the identity whose public half was given as --recipient: --identity FILE",
        code="wrong-identity",
    )


def _damaged(source: str, why: str) -> BadInput:
    return BadInput(
        f"{source} is no archive of keystead, or is damaged",
        why=why,
        mend="take another copy of it, or the archive before it",
        code="damaged-archive",
    )
