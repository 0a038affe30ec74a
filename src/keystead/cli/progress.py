"""How transfers are shown: a bar with speed and time left at a terminal, a line a file elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[int], None]
Track = Callable[[str, int | None], Report]
"""Begins to show one file, of so many octets (None: unknown); what it gives is told of each step."""


@contextmanager
def progress() -> Iterator[Track]:
    """Bars for the time of the body, where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda label, total: lambda octets: None
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

        def track(label: str, total: int | None) -> Report:
            task = bars.add_task(label, total=total)
            return lambda octets: bars.advance(task, octets)

        yield track
