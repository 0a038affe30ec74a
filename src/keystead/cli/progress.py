"""How transfers are shown: a bar with speed and time left at a terminal; elsewhere only what is unusual."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from keystead.cli.say import note
from keystead.cli.sizes import in_words
from keystead.errors import KeysteadError
from keystead.subscriber.fileclient.onlooker import Nobody, Onlooker

if TYPE_CHECKING:
    from rich.progress import Progress

Track = Callable[[str], Onlooker]
"""Shows one file, called so."""


class Told(Nobody):
    """One file; what is unusual on its way is a line for people."""

    def __init__(self, label: str) -> None:
        self._label = label

    def goes_on(self, octets: int, size: int) -> None:
        """It goes on where it was."""
        note(f"{self._label}: goes on at {in_words(octets)} of {in_words(size)}")

    def begins_anew(self) -> None:
        """The part from before is of no use."""
        note(f"{self._label}: has changed since a part of it was sent or fetched; that part is dropped")

    def waits(self, seconds: float, error: KeysteadError) -> None:
        """Something failed that may pass."""
        why = ": ".join(filter(None, (error.what, error.why)))
        note(f"{self._label}: {why}; trying again in {seconds:g} s")


class _Bar(Told):
    """The same, with a bar."""

    def __init__(self, label: str, bars: Progress) -> None:
        super().__init__(label)
        self._bars = bars
        self._task = bars.add_task(label, total=None)

    def begins(self, size: int | None) -> None:
        """The bar is so long."""
        self._bars.update(self._task, total=size)

    def stands_at(self, octets: int) -> None:
        """It is so far."""
        self._bars.update(self._task, completed=octets)

    def goes_on(self, octets: int, size: int) -> None:
        """It is so far from before: which nobody has sent at that speed."""
        super().goes_on(octets, size)
        self._bars.reset(self._task, total=size, completed=octets)

    def begins_anew(self) -> None:
        """It is empty again."""
        super().begins_anew()
        self._bars.reset(self._task)


@contextmanager
def progress() -> Iterator[Track]:
    """Bars for the time of the body, where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield Told
        return
    from rich.console import Console  # noqa: PLC0415  only a terminal pays for it
    from rich.progress import (  # noqa: PLC0415  likewise
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    # Lines of the result go above the bars, but only where they go to the terminal too.
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty()) as bars:
        yield lambda label: _Bar(label, bars)
