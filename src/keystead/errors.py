"""The one family of errors: what happened, why, and how to mend it.

Every error that a person may see is one of these; each owns its diagnosis and its remedy, so that the
command line, the web server's problem documents and the audit log only have to print it. Programming
mistakes stay ordinary exceptions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "AlreadyThere",
    "BadInput",
    "Distrusted",
    "KeysteadError",
    "NotThere",
    "Refused",
    "Unavailable",
    "Violation",
    "WrongUsage",
]


class KeysteadError(Exception):
    """What happened, why, and what to type to mend it.

    ``what`` names the thing concerned (file, name, date, serial). ``why`` and ``mend`` may be empty where
    ``what`` says it all. ``code`` is a stable slug for machines: JSON output, problem documents, the audit
    log.
    """

    exit_code: ClassVar[int] = 1
    code: str = "failed"

    def __init__(self, what: str, *, why: str = "", mend: str = "", code: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.mend = mend
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        """The parts that are there, a line each."""
        return "\n".join(part for part in (self.what, self.why, self.mend) if part)


class WrongUsage(KeysteadError):
    """The command line's words do not fit together; nothing was attempted."""

    exit_code = 2
    code = "wrong-usage"


class BadInput(KeysteadError):
    """Bytes from outside are not what they should be (a CSR, a certificate, a configuration)."""

    code = "bad-input"


class NotThere(KeysteadError):
    """Something that the command needs does not exist (a file, an environment, an identity)."""

    code = "not-there"


class AlreadyThere(KeysteadError):
    """Something stands where the command would write, and it is not overwritten."""

    code = "already-there"


class Unavailable(KeysteadError):
    """The world did not let us: no memory, no disk, no permission, nobody listening, a lock held."""

    code = "unavailable"


class Distrusted(KeysteadError):
    """A certificate, chain or list that cannot be trusted; ``code`` says why (``revoked``, ``expired`` …)."""

    code = "distrusted"


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a request breaks: a slug for machines, the sentence, and the mend."""

    code: str
    what: str
    mend: str


class Refused(KeysteadError):
    """A request that policy does not allow, with all of its violations at once."""

    code = "refused"

    def __init__(self, what: str, violations: Iterable[Violation] = ()) -> None:
        # The default lets the error cross from a worker: unpickling gives the sentence, then the rest.
        self.violations = tuple(violations)
        super().__init__(
            what,
            why="; ".join(v.what for v in self.violations),
            mend="; ".join(dict.fromkeys(v.mend for v in self.violations if v.mend)),
            code=self.violations[0].code if self.violations else None,
        )
