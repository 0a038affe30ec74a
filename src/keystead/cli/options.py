"""Options that several commands share, each with one meaning everywhere."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_DIRECTORY = Path("certs")


def directory(command: Command) -> Command:
    """``--dir``: the subscriber's folder."""
    return click.option(
        "--dir",
        "folder",
        # Here and elsewhere: what may not be read is said by the command itself, with why and mend.
        type=click.Path(file_okay=False, readable=False, path_type=Path),
        default=DEFAULT_DIRECTORY,
        show_default=True,
        help="The folder of this machine's keys and certificates.",
    )(command)


def at(folder: Path) -> str:
    """The ``--dir`` that the next command needs, too."""
    return "" if folder == DEFAULT_DIRECTORY else f" --dir {shlex.quote(str(folder))}"


def name(command: Command) -> Command:
    """``--name``: which of the folder's identities."""
    return click.option(
        "--name", metavar="NAME", help="Which identity of the folder; may be left out where one fits."
    )(command)


def as_json(command: Command) -> Command:
    """``--json``: for machines."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")(command)


def passphrase_file(command: Command) -> Command:
    """``--passphrase-file``: where the CA key's passphrase is read from."""
    return click.option(
        "--passphrase-file",
        type=click.Path(readable=False, path_type=Path),
        help="Read the CA key's passphrase from this file (0600).  [KEYSTEAD_PASSPHRASE_FILE]",
    )(command)
