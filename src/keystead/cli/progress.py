"""How transfers are shown: a bar with speed and time left at a terminal; elsewhere only what is unusual."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from io import TextIOBase
from typing import TYPE_CHECKING

from keystead.cli.say import note
from keystead.cli.sizes import in_words
from keystead.errors import KeysteadError
from keystead.subscriber.fileclient.onlooker import Nobody, Onlooker

if TYPE_CHECKING:
    from rich.console import Console
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


class _Above(TextIOBase):
    """A stream whose lines go above the bars of ``console``, unbroken, so that they can be copied."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._begun = ""

    def write(self, text: str, /) -> int:
        """Show ``text`` as far as its lines are whole."""
        if not isinstance(text, str):
            raise TypeError("text is wanted")  # click asks by trying
        from rich.text import Text  # noqa: PLC0415  the console is there, so rich is loaded

        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._console.print(Text.from_ansi(line), soft_wrap=True)
        return len(text)

    def isatty(self) -> bool:
        """Colours are wanted as at the terminal."""
        return True


@contextmanager
def progress() -> Iterator[Track]:
    """Bars for the time of the body, where standard error is a terminal; who stops it hears how to go on."""
    try:
        with _shown() as track:
            yield track
    except KeyboardInterrupt:
        note("To go on where it was, type the same command again.")
        raise


@contextmanager
def _shown() -> Iterator[Track]:
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
    # rich's own redirection claims no encoding, and click goes round what claims none.
    bars = Progress(
        *columns,
        console=Console(file=sys.stderr),
        transient=True,  # what became of a file stands in its line
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bars, ExitStack() as lines:
        above = _Above(bars.console)
        lines.enter_context(redirect_stderr(above))
        if sys.stdout.isatty():  # else the result goes to a file or a pipe, which the bars do not
            lines.enter_context(redirect_stdout(above))
        yield lambda label: _Bar(label, bars)
