"""To whom an archive is sealed, and what opens it: age's X25519 keys and SSH keys, as people have them.

Not here: sealing and opening (`envelope`), and the identity that systemd hands over (`identities`).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyrage

from keystead.custody.identities import keys_of
from keystead.errors import BadInput, WrongUsage
from keystead.machine.files import read_bounded, read_private
from keystead.machine.secrets import IDENTITY_CREDENTIAL, AgeIdentity

MAX_RECIPIENTS = 100
"""Of one archive: a header of some 20 KiB."""

_MAX_OCTETS = 64 << 10
_SECRET = ("AGE-SECRET-KEY-", "-----BEGIN ")
_PREFIXES = ("age1", "ssh-")
_HOW = "give age1…, ssh-ed25519 …, ssh-rsa …, or a file with one of these a line (such as id_ed25519.pub)"


@dataclass(frozen=True, slots=True)
class Recipients:
    """The public keys that an archive is sealed to; ``spelled`` is how people know them."""

    keys: tuple[Any, ...] = field(repr=False)
    spelled: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opener:
    """What opens an archive: the secret halves, age's identities. ``source`` says where from."""

    keys: tuple[Any, ...] = field(repr=False)
    source: str


def parse_recipients(words: Sequence[str]) -> Recipients:
    """The recipients that ``words`` name, each a key or a file of keys.

    Raises `WrongUsage` for a word that is neither, `BadInput` where a file holds anything else, or secrets.
    """
    lines = [line for word in words for line in _lines(word)]
    if len(lines) > MAX_RECIPIENTS:
        raise WrongUsage(f"{len(lines)} recipients are named; at most {MAX_RECIPIENTS} are taken")
    return Recipients(tuple(map(_key, lines)), tuple(map(_spell, lines)))


def _lines(word: str) -> Iterator[str]:
    if word.strip().startswith(_PREFIXES):
        yield word.strip()
        return
    if word.strip().startswith(_SECRET):  # it is not repeated
        raise WrongUsage("a secret key is given as --recipient", mend=f"it belongs nowhere: {_HOW}")
    text = read_bounded(Path(word), _MAX_OCTETS).decode(errors="replace")
    if any(line.startswith(_SECRET) for line in text.splitlines()):
        file = shlex.quote(word)
        public = f"$(age-keygen -y {file})" if "AGE-SECRET-KEY-" in text else f"{file}.pub"
        raise BadInput(
            f"{word} holds a secret key, and what an archive is sealed to is public",
            mend=f"give its public half: --recipient {public}",
            code="secret-recipient",
        )
    found = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not found:
        raise BadInput(f"{word} names no recipient", mend=_HOW, code="no-recipient")
    yield from found


def _key(line: str) -> Any:
    try:
        if line.startswith("ssh-"):
            return pyrage.ssh.Recipient.from_str(line)
        return pyrage.x25519.Recipient.from_str(line)
    except pyrage.RecipientError:
        raise BadInput(
            f"{_spell(line)!r} is no recipient that an archive can be sealed to",
            why="age's X25519 keys and SSH keys of the types ed25519 and rsa are taken",
            mend=_HOW,
            code="bad-recipient",
        ) from None


def _spell(line: str) -> str:
    """A key as people know it: whole where it is short, an SSH key by its type, end and comment."""
    kind, _, rest = line.partition(" ")
    if not rest:
        return line[:80]
    blob, _, comment = rest.partition(" ")
    return f"{kind} …{blob[-8:]} {comment[:40]}".rstrip()


def read_opener(path: Path) -> Opener:
    """The age identity file or SSH private key at ``path``.

    Raises `Unavailable` where other accounts may read it, `BadInput` where it is neither, or wants a
    passphrase of its own.
    """
    if path.suffix == ".pub":
        raise BadInput(
            f"{path} cannot open an archive",
            why="it is a public key by its name, and the secret half is wanted",
            mend=f"name that: --identity {shlex.quote(str(path.with_suffix('')))}",
            code="bad-identity",
        )
    data = read_private(path, _MAX_OCTETS)
    try:
        if data.lstrip().startswith(b"-----BEGIN ") and b"AGE ENCRYPTED" not in data[:64]:
            return Opener((pyrage.ssh.Identity.from_buffer(data),), str(path))
        lines = [line.strip() for line in data.decode().splitlines()]
        secret = [line for line in lines if line.startswith("AGE-SECRET-KEY-1")]
        keys = tuple(pyrage.x25519.Identity.from_str(line) for line in secret)
    except (pyrage.IdentityError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None
    if not keys:
        raise _unreadable(path, ValueError("it holds no line that begins with AGE-SECRET-KEY-1"))
    return Opener(keys, str(path))


def handed_over(identity: AgeIdentity) -> Opener:
    """The identity that systemd hands over, as what opens an archive."""
    return Opener(tuple(keys_of(identity)), f"the credential {IDENTITY_CREDENTIAL}")


def _unreadable(path: Path, error: Exception) -> BadInput:
    sealed = "decrypted first" in str(error)
    return BadInput(
        f"{path} cannot open an archive",
        why="it is sealed with a passphrase of its own" if sealed else f"it cannot be read: {error}",
        mend="open a copy of it, and shred that afterwards:"
        f" cp {shlex.quote(str(path))} F && ssh-keygen -p -N '' -f F"
        if sealed
        else "name an age identity (age-keygen makes them) or an SSH private key (id_ed25519)",
        code="bad-identity",
    )
