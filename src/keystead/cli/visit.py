"""What `upload`, `ls` and `get` share: which server, as whom, and opening the door."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from keystead.cli import options
from keystead.cli.say import warn
from keystead.machine.clock import system_clock
from keystead.subscriber.fileclient.address import choose
from keystead.subscriber.fileclient.session import Session, credentials_of, open_session

Command = TypeVar("Command", bound=Callable[..., Any])


def to(command: Command) -> Command:
    """``--to``, ``--dir``, ``--name``: which server, and as whom."""
    command = options.directory(options.name(command))
    return click.option(
        "--to",
        "server",
        metavar="URL",
        help="The server.  [KEYSTEAD_SERVER; the last that worked; https://localhost:8443]",
    )(command)


def again(folder: Path, name: str | None) -> str:
    """The ``--dir`` and ``--name`` that the next command needs, too."""
    return options.at(folder) + (f" --name {shlex.quote(name)}" if name is not None else "")


def operand(name: str) -> str:
    """A file's name as a command takes it, also where it would look like an option."""
    return f"-- {shlex.quote(name)}" if name.startswith("-") else shlex.quote(name)


@contextmanager
def visiting(folder: Path, name: str | None, server: str | None) -> Iterator[Session]:
    """The session for the time of the body; what a person should know is said on the way."""
    address = choose(server, os.environ, folder)
    session = open_session(credentials_of(folder, name), address, system_clock, warn)
    try:
        yield session
    finally:
        session.first.close()
