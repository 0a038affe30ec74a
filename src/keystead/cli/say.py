"""How the command line speaks: plain lines, warnings, errors in three parts, tables, the next step.

Results go to standard output, everything about them to standard error. What comes from outside is escaped,
so that a name in a CSR cannot move somebody's cursor.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from keystead.errors import KeysteadError, Refused

_INVISIBLE = {*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF}


def escape(text: str) -> str:
    """``text`` with control characters, and those that reorder or hide text, written as escapes."""
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character.isprintable() and ord(character) not in _INVISIBLE:
        return character
    return character.encode("unicode_escape").decode()


def say(text: str = "") -> None:
    """A line of the result."""
    click.echo(escape(text))


def note(text: str) -> None:
    """A line about the result, for people: standard error."""
    click.echo(escape(text), err=True)


def done(text: str) -> None:
    """A line that says that a step is done."""
    click.echo(f"{click.style('✓', fg='green')} {escape(text)}")


def warn(text: str) -> None:
    """A warning: the command goes on."""
    click.echo(f"{click.style('warning:', fg='yellow', bold=True)} {escape(text)}", err=True)


def fail(error: KeysteadError) -> None:
    """An error: what happened, why, how to mend it; each violation of a refusal on lines of its own."""
    click.echo(f"{click.style('error:', fg='red', bold=True)} {escape(error.what)}", err=True)
    if isinstance(error, Refused):
        for violation in error.violations:
            click.echo(f"   why: {escape(violation.what)}", err=True)
            if violation.mend:
                click.echo(f"  mend: {escape(violation.mend)}", err=True)
        return
    if error.why:
        click.echo(f"   why: {escape(error.why)}", err=True)
    if error.mend:
        click.echo(f"  mend: {escape(error.mend)}", err=True)


def next_steps(*steps: tuple[str, str]) -> None:
    """What to type next: pairs of where ("here", "on alice's machine") and the command."""
    click.echo()
    width = max(len(where) for where, _ in steps)
    for where, command in steps:
        label = click.style(f"next, {where}:".ljust(width + 7), dim=True)
        click.echo(f"{label} {escape(command)}")


def fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Labelled values, aligned."""
    rows = list(pairs)
    width = max((len(label) for label, _ in rows), default=0)
    for label, value in rows:
        click.echo(f"  {label.ljust(width)}  {escape(value)}")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of text; on a terminal that is too narrow for it, its rows one below the other.

    So nothing is cut that somebody copies: a serial number, a digest, a path.
    """
    from rich import box  # noqa: PLC0415  only what prints a table pays for it
    from rich.console import Console  # noqa: PLC0415  likewise
    from rich.measure import Measurement  # noqa: PLC0415  likewise
    from rich.table import Table  # noqa: PLC0415  likewise
    from rich.text import Text  # noqa: PLC0415  likewise

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in headings:
        shown.add_column(heading)
    kept = list(rows)
    for row in kept:
        shown.add_row(*(Text(escape(cell)) for cell in row))
    console = Console(highlight=False)
    if not sys.stdout.isatty():
        console.width = 10_000 if console.width < 10_000 else console.width
    unlimited = console.options.update(width=10_000)
    if Measurement.get(console, unlimited, shown).maximum <= console.width:
        console.print(shown)
    else:
        _below_each_other(headings, kept)


def _below_each_other(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    for first, *others in rows:
        click.echo()
        click.echo(f"{headings[0]} {click.style(escape(first), bold=True)}")
        fields((heading, cell) for heading, cell in zip(headings[1:], others, strict=True) if cell)
    click.echo()


def print_json(value: Any) -> None:
    """The result for machines."""
    import json  # noqa: PLC0415  people's output does without

    click.echo(json.dumps(value, indent=2, ensure_ascii=True))
