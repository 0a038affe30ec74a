"""Runs the command line, and prints what goes wrong: the exit code of each kind of end.

Not here: the commands (`commands`), and the process around it all (`main`).
"""

from __future__ import annotations

import os
import sys
import warnings

import click

from keystead.cli.commands import cli
from keystead.errors import KeysteadError, WrongUsage


def run() -> int:
    """Run the command line; 0 when done, 1 when refused or failed, 2 for wrong usage, 130 when stopped."""
    # Before OpenSSL is loaded, which reads it: what TLS does here is nobody else's configuration.
    os.environ.pop("OPENSSL_CONF", None)
    if not sys.warnoptions:
        # Libraries warn about odd certificates of other people; what matters of it, we say ourselves.
        warnings.simplefilter("ignore")
    try:
        status = cli.main(standalone_mode=False)
    except KeysteadError as error:
        _print_error(error)
        status = error.exit_code
    except click.UsageError as error:
        _print_error(_as_wrong_usage(error))
        status = 2
    except click.ClickException as error:
        _print_error(KeysteadError(error.format_message()))
        status = 1
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nstopped; nothing more was done", err=True)
        status = 130
    except BrokenPipeError:
        # Whoever read the output has gone: there is nobody to tell, and Python must not try at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except Exception as error:
        if os.environ.get("KEYSTEAD_DEBUG"):
            raise
        _print_error(_as_mistake(error))
        status = 1
    return status if isinstance(status, int) else 0


def _as_wrong_usage(error: click.UsageError) -> WrongUsage:
    command = error.ctx.command_path if error.ctx is not None else "keystead"
    return WrongUsage(error.format_message(), mend=f"{command} --help")


def _as_mistake(error: Exception) -> KeysteadError:
    return KeysteadError(
        f"keystead stumbled over a mistake of its own: {type(error).__name__}",
        why=str(error).partition("\n")[0],
        mend="please report it, with what `KEYSTEAD_DEBUG=1 keystead …` prints (it shows no secrets)",
    )


def _print_error(error: KeysteadError) -> None:
    from keystead.cli.say import fail  # noqa: PLC0415  only what goes wrong pays for it

    fail(error)
