"""A check as one entry of a table, what it sees, and the one loop that runs a table.

Not here: the tables (`storage`, `holders`, `trust`, `revocation`, `authority`, `endpoint`).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from keystead.errors import KeysteadError
from keystead.watch.doctor.outcomes import HERE, Broken, Finding, Outcome, Step, Well

View = TypeVar("View")


@dataclass(frozen=True, slots=True)
class Seen:
    """One place where a check found something, with what sentences and mends name.

    ``detail`` is the reason as it was found. ``name``, ``profile``, ``environment`` and ``hosts`` are those
    of the subscriber concerned, empty where none is or it is not known; ``has_csr`` is whether its
    ``NAME.csr`` is there and is its key's.
    """

    path: Path
    detail: str = ""
    name: str = ""
    profile: str = ""
    environment: str = ""
    hosts: tuple[str, ...] = ()
    has_csr: bool = False

    @property
    def folder(self) -> Path:
        """Where the file lies."""
        return self.path.parent

    def fill(self, sentence: str) -> str:
        """``sentence`` for people, with its placeholders filled in."""
        return self._filled(sentence, str)

    def fill_command(self, command: str) -> str:
        """``command`` with its placeholders filled in, quoted as a shell wants them."""
        return self._filled(command, shlex.quote)

    def _filled(self, template: str, spell: Callable[[str], str]) -> str:
        return template.format(
            path=spell(str(self.path)),
            folder=spell(str(self.folder)),
            file=spell(self.path.name),
            detail=spell(self.detail),
            name=spell(self.name),
            env=f" --env {self.environment}" if self.environment else "",
        )


Mend = Callable[[Seen], tuple[Step, ...]]


@dataclass(frozen=True, slots=True)
class Check(Generic[View]):
    """One entry: what is looked at, how something wrong is found, the sentence for it, and what mends it.

    In ``what`` and ``why`` may stand ``{path}``, ``{folder}``, ``{file}``, ``{name}`` and ``{detail}``.
    """

    code: str
    looks_at: str
    find: Callable[[View], Iterable[Seen]]
    what: str
    why: str
    mend: Mend
    weight: type[Finding] = Broken


def run(checks: Iterable[Check[View]], view: View) -> Iterator[Outcome]:
    """What each check comes to; an error while looking is a finding with the error's own words."""
    for check in checks:
        try:
            seen = list(check.find(view))
        except KeysteadError as error:
            yield of_error(check.code, error)
            continue
        if not seen:
            yield Well(check.code, check.looks_at)
        for place in seen:
            yield check.weight(check.code, place.fill(check.what), place.fill(check.why), check.mend(place))


def of_error(code: str, error: KeysteadError) -> Broken:
    """An error of the house as a finding."""
    return Broken(code, error.what, error.why, (Step(HERE, error.mend),) if error.mend else ())
