"""``keystead ca``: the group, and what all of its commands share: home, environment, first line."""

from __future__ import annotations

import getpass
import os
import shlex
import socket
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from keystead.cli.lazy import Entry, LazyGroup
from keystead.errors import WrongUsage

if TYPE_CHECKING:
    from keystead.ca.authority.model import Charter
    from keystead.machine.secrets import Secrets

Value = TypeVar("Value", str, Path)

COMMANDS = {
    "init": Entry("keystead.cli.ca.init:init", "Make root and issuing CA of an environment."),
    "sign": Entry("keystead.cli.ca.sign:sign", "Check CSRs, sign them, record them, hand out certificates."),
    "list": Entry("keystead.cli.ca.records:list_certificates", "What was issued."),
    "show": Entry("keystead.cli.ca.records:show", "One certificate, or all of one identity."),
    "revoke": Entry("keystead.cli.ca.revocation:revoke", "End a certificate before its time."),
    "crl": Entry("keystead.cli.ca.revocation:crl", "Make fresh revocation lists, the root's too."),
    "audit": Entry("keystead.cli.ca.audit:audit", "Verify the audit log, and read it."),
    "backup": Entry("keystead.cli.ca.backup:backup", "All of an environment in one sealed file."),
    "restore": Entry("keystead.cli.ca.restore:restore", "Bring an environment back from a backup."),
}


def _home_and_environment(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option(
        "--env", "environment", metavar="ENV", help="The environment.  [KEYSTEAD_ENV; default: dev]"
    )(command)
    return click.option(
        "--home",
        type=click.Path(file_okay=False, readable=False, path_type=Path),
        help="The CA machine's home.  [KEYSTEAD_HOME; default: ~/.keystead]",
    )(command)


@click.group(cls=LazyGroup, entries=COMMANDS)
@_home_and_environment
@click.pass_context
def ca(ctx: click.Context, home: Path | None, environment: str | None) -> None:
    """The certification authority of one environment (--env, before or after the subcommand)."""
    ctx.obj = Place(home, environment)


class Place:
    """Where a CA command works: what the command line says, else the environment variables, else defaults."""

    def __init__(self, home: Path | None, environment: str | None) -> None:
        self._home = home
        self._environment = environment

    def and_also(self, home: Path | None, environment: str | None) -> Place:
        """The same with what stands after the subcommand; raises `WrongUsage` where the two differ."""
        return Place(_one("--home", self._home, home), _one("--env", self._environment, environment))

    @property
    def home(self) -> Path:
        """The CA machine's home."""
        return self._home or Path(os.environ.get("KEYSTEAD_HOME") or "~/.keystead").expanduser()

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self._environment or os.environ.get("KEYSTEAD_ENV") or "dev"

    @property
    def named_environment(self) -> str | None:
        """The environment's name where somebody gave one, here or in the variable."""
        return self._environment or os.environ.get("KEYSTEAD_ENV") or None

    def command(self, words: str) -> str:
        """``keystead ca WORDS`` for this place, as it is typed on from here."""
        home = f" --home {shlex.quote(str(self._home))}" if self._home is not None else ""
        environment = f" --env {self._environment}" if self._environment is not None else ""
        return f"keystead ca {words}{home}{environment}"


def _one(option: str, before: Value | None, after: Value | None) -> Value | None:
    if before is not None and after is not None and before != after:
        raise WrongUsage(
            f"{option} is given twice: {str(before)!r} and {str(after)!r}",
            mend=f"give {option} once, before or after the subcommand",
        )
    return after if after is not None else before


def placed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--home`` and ``--env``, and as its first argument the `Place` that they make."""

    @_home_and_environment
    @wraps(command)
    def run(home: Path | None, environment: str | None, **rest: Any) -> Any:
        ctx = click.get_current_context()
        place = (ctx.find_object(Place) or Place(None, None)).and_also(home, environment)
        return command(place, **rest)

    return run


def actor() -> str:
    """Who works here, for the audit log: ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())  # an account without a name, as in a container
    return f"{user}@{socket.gethostname()}"


def secrets_from(passphrase_file: Path | None) -> Secrets:
    """Where this command's passphrase comes from."""
    from keystead.machine.secrets import Secrets, terminal  # noqa: PLC0415  start-up time

    return Secrets(os.environ, passphrase_file, terminal())


def headline(charter: Charter) -> str:
    """The first line of a CA command: the environment and the root's fingerprint."""
    from keystead.pki.fingerprints import Fingerprint  # noqa: PLC0415  start-up time

    return f"environment {charter.environment} · root {Fingerprint.of_certificate(charter.root)}"
