"""Every command line that a page shows is one that the program takes: the command exists, and its options."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from keystead.cli.commands import cli
from tests.docs.pages import PAGES, code_in, name_of

_TYPED = re.compile(
    r"(?:^|[$#>(:;] *|ExecStart=|&& |\|\| |[A-Z_]+=\S+ )(?:[\w./~-]*/)?keystead(?= )([^\n;&|#)…]*)",
    re.MULTILINE,
)
_OPTION = re.compile(r"^--?[A-Za-z][\w-]*")


def typed_in(page: Path) -> Iterator[str]:
    return (match[1].strip() for code in code_in(page) for match in _TYPED.finditer(code))


def command_of(words: list[str]) -> click.Command:
    """The command that the first words name; the rest stays in ``words``."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
        name = words.pop(0)
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"there is no command {name!r}"
        command = found
    return command


def options_of(command: click.Command) -> set[str]:
    taken = {opt for parameter in command.get_params(click.Context(command)) for opt in parameter.opts}
    return taken | {"-h", "--help"} | ({"--version"} if command is cli else set())


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_line_names_a_command_and_its_options(page: Path) -> None:
    for line in typed_in(page):
        words = line.split()
        command = command_of(words)
        options = [match[0] for word in words if (match := _OPTION.match(word))]
        assert set(options) <= options_of(command), f"keystead {line}"


def test_the_pages_show_command_lines_at_all() -> None:
    shown = {line for page in PAGES for line in typed_in(page)}
    assert len(shown) > 100


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(AssertionError, match="frobnicate"):
        command_of(["ca", "frobnicate"])
