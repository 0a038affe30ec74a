"""Writes ``reference/commands.md`` from the command line itself: python docs/generate_commands.py

Not here: explanations. What a command says of itself by ``--help`` is what the page says.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from keystead.cli.commands import cli

PAGE = Path(__file__).parent / "reference" / "commands.md"

_HEAD = """\
# Commands

This page is made from the command line itself by `docs/generate_commands.py`. Every command also answers to
`--help`. What stands in brackets is a default, or the environment variable that is read where the option is
not given.

`keystead --version` prints the version. Exit codes are [listed on a page of their own](exit-codes.md).
"""


def commands(group: click.Group = cli, words: tuple[str, ...] = ("keystead",)) -> Iterator[click.Context]:
    """A context for each command that is no group, in the order of the help; its info name is all words."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield click.Context(command, info_name=" ".join((*words, name)))


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([_HEAD, *(_section(context) for context in commands())])


def _section(context: click.Context) -> str:
    command = context.command
    usage = " ".join([context.info_name or "", *command.collect_usage_pieces(context)])
    text = inspect.cleandoc(command.help or "").partition("\f")[0]
    options = [option for option in command.params if isinstance(option, click.Option)]
    records = [record for option in options if (record := option.get_help_record(context))]
    rows = [f"| `{_cell(declaration)}` | {_cell(_told(help_text))} |" for declaration, help_text in records]
    table = "\n".join(["| option | meaning |", "|---|---|", *rows])
    return f"## {context.info_name}\n\n```text\n{usage}\n```\n\n{text}\n\n{table}\n"


def _told(help_text: str) -> str:
    return re.sub(r"\s+", " ", help_text)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
