"""What a check came to: well, not looked at, a warning or a problem; each a type with all that it takes.

Not here: the checks themselves, and printing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

HERE = "here"


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a mend: where (``here``, ``on the CA's machine`` …), and what is typed there."""

    where: str
    command: str


@dataclass(frozen=True, slots=True)
class Well:
    """A check that found nothing."""

    code: str
    looked_at: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A check that could not be made, and the reason."""

    code: str
    looked_at: str
    reason: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that works today and will not for ever, or is not as it should be."""

    code: str
    what: str
    why: str
    mend: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """Something that does not work, or lets somebody in who should not be."""

    code: str
    what: str
    why: str
    mend: tuple[Step, ...]


Finding = Warned | Broken
Outcome = Well | Skipped | Finding


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that was looked at, in the order of the tables."""

    outcomes: tuple[Outcome, ...]

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Diagnosis:
        """Of outcomes in the order in which they came."""
        return cls(tuple(outcomes))

    @property
    def problems(self) -> tuple[Broken, ...]:
        """What does not work."""
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, Broken))

    @property
    def warnings(self) -> tuple[Warned, ...]:
        """What is not as it should be."""
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, Warned))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Problems, then warnings."""
        return (*self.problems, *self.warnings)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What was not looked at."""
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, Skipped))
