from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from keystead.cli import say
from keystead.cli.commands import cli
from keystead.errors import KeysteadError
from tests.subscriber.throwaway_ca import ThrowawayCa


@dataclass(frozen=True)
class Outcome:
    """What a command did: its exit code, and what it printed to either stream."""

    code: int
    out: str
    err: str


Keystead = Callable[..., Outcome]


@pytest.fixture
def keystead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keystead:
    """Run the command line in an empty folder, with an empty home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))

    def run(*arguments: str | Path, stdin: str | None = None) -> Outcome:
        result = CliRunner().invoke(_told, [str(argument) for argument in arguments], input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def _told(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """As `keystead.cli.main.main`, which ends the process."""
    try:
        ctx.exit(cli.main(list(arguments), standalone_mode=False) or 0)
    except KeysteadError as error:
        say.fail(error)
        ctx.exit(error.exit_code)
    except click.UsageError as error:
        say.fail(KeysteadError(error.format_message()))
        ctx.exit(2)


@pytest.fixture
def ca() -> ThrowawayCa:
    return ThrowawayCa()


@pytest.fixture
def alice(keystead: Keystead, ca: ThrowawayCa, tmp_path: Path) -> Path:
    """A folder ``certs`` with alice, installed."""
    assert keystead("csr", "alice").code == 0
    leaf = ca.sign((tmp_path / "certs" / "alice.csr").read_bytes())
    (tmp_path / "alice.pem").write_bytes(ca.bundle(leaf))
    assert keystead("install", "alice.pem").code == 0
    return tmp_path / "certs"
