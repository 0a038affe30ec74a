"""Where a passphrase or an age identity comes from: a file, systemd's credentials, a person at a terminal.

Never from an argument. Not here: what it opens (`custody`).
"""

from __future__ import annotations

import hmac
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path
from typing import Never, NoReturn

from keystead.errors import BadInput, Unavailable
from keystead.machine.files import read_private

PASSPHRASE_VARIABLE = "KEYSTEAD_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
PASSPHRASE_CREDENTIAL = "keystead-passphrase"  # noqa: S105 - the name of a file
IDENTITY_CREDENTIAL = "keystead-identity"

_LIMIT = 64 << 10

Ask = Callable[[str], str]
"""Shows a question and gives back what was typed, unseen."""


class Secret:
    """A text that never shows itself: not in `repr`, a format, a traceback's locals, nor a pickle."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text. Call it where it is used, and keep it in no variable."""
        return self._text

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    __hash__ = None  # type: ignore[assignment] # nothing is looked up by a secret

    def __reduce__(self) -> Never:
        raise TypeError("a secret is not written down")


class Passphrase(Secret):
    """What a person knows, or a file says in one line."""

    __slots__ = ()


class AgeIdentity(Secret):
    """An age X25519 identity file: the machine's own key to the keys that it must open unattended."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Secrets:
    """Where this command may look for secrets.

    ``environ`` is the environment to read, empty where it must be ignored; ``passphrase_file`` the option;
    ``ask`` a terminal's prompt, None where nobody is there to answer (`terminal`).
    """

    environ: Mapping[str, str]
    passphrase_file: Path | None = None
    ask: Ask | None = None

    def passphrase(self, purpose: str) -> Passphrase:
        """The passphrase that opens ``purpose`` ("the issuing key of prod").

        Raises `NotThere` where a file that was named is missing, `Unavailable` where it is not private, or
        where nothing was named and nobody can be asked.
        """
        return self._written_passphrase() or self._asked(f"Passphrase of {purpose}: ")

    def identity(self) -> AgeIdentity | None:
        """The age identity that systemd hands over, if it does."""
        path = self._credential(IDENTITY_CREDENTIAL)
        return None if path is None else AgeIdentity(_read(path))

    def for_sealing(self, purpose: str) -> Passphrase | AgeIdentity:
        """What new keys are to be sealed with: a passphrase that was named, an age identity, or a new one.

        A new passphrase is asked for twice. Raises as `passphrase` does.
        """
        if self.passphrase_file is None and PASSPHRASE_VARIABLE not in self.environ:
            identity = self.identity()
            if identity is not None:
                return identity
        return self._written_passphrase() or self._chosen(purpose)

    def _written_passphrase(self) -> Passphrase | None:
        named = self.passphrase_file or _path(self.environ.get(PASSPHRASE_VARIABLE))
        path = named or self._credential(PASSPHRASE_CREDENTIAL)
        if path is None:
            return None
        return _checked(_read(path).removesuffix("\n").removesuffix("\r"), str(path))

    def _credential(self, name: str) -> Path | None:
        folder = _path(self.environ.get(CREDENTIALS_VARIABLE))
        if folder is None or not (folder / name).exists():
            return None
        return folder / name

    def _asked(self, question: str) -> Passphrase:
        if self.ask is None:
            _nobody_there(question)
        try:
            return _checked(self.ask(question), "what was typed")
        except EOFError:
            raise BadInput("no passphrase was typed", mend="run the command again") from None

    def _chosen(self, purpose: str) -> Passphrase:
        chosen = self._asked(f"New passphrase for {purpose}: ")
        if chosen != self._asked("The same again: "):
            raise BadInput(
                "the two passphrases differ", mend="run the command again", code="passphrase-differs"
            )
        return chosen


def terminal() -> Ask | None:
    """The prompt of this terminal; None where standard input is none, as in scripts and services."""
    return getpass if sys.stdin is not None and sys.stdin.isatty() else None


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _read(path: Path) -> str:
    try:
        return read_private(path, _LIMIT).decode()
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not text", why="a passphrase or an age identity is UTF-8") from None


def _checked(text: str, source: str) -> Passphrase:
    if not text or any(character in text for character in "\0\r\n"):
        raise BadInput(
            f"{source} is no passphrase",
            why="a passphrase is one line of text, and not empty",
            mend="write the passphrase alone into the file, or type it",
            code="bad-passphrase",
        )
    return Passphrase(text)


def _nobody_there(question: str) -> NoReturn:
    raise Unavailable(
        f"a passphrase is needed, and there is no terminal to ask at ({question.rstrip(': ')})",
        why="nothing else was named either",
        mend=f"name a file that only you can read: --passphrase-file FILE or {PASSPHRASE_VARIABLE}=FILE; "
        f"a systemd service gets it by LoadCredential={PASSPHRASE_CREDENTIAL}:FILE",
        code="no-passphrase",
    )
