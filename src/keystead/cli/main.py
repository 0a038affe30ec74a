"""The command ``keystead``: finds a command by name, and prints what goes wrong.

Nothing is imported before it is needed: a table says where each command lies and what its help line is.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import NoReturn

import click

from keystead.cli.lazy import Entry, LazyGroup
from keystead.errors import KeysteadError, WrongUsage

COMMANDS = {
    "demo": Entry("keystead.cli.demo:demo", "The whole workflow with real processes, then the refusals."),
    "dev": Entry("keystead.cli.dev:dev", "A CA, a server's and a client's files for local testing."),
    "ca": Entry("keystead.cli.ca.group:ca", "The certification authority: init, sign, list, revoke …"),
    "csr": Entry("keystead.cli.csr:csr", "Make a key and a CSR here; only the CSR travels."),
    "install": Entry("keystead.cli.install:install", "Check what the CA sent back, and put it in place."),
    "serve": Entry("keystead.cli.serve:serve", "The web server that admits only trusted certificates."),
    "upload": Entry("keystead.cli.upload:upload", "Send files over mutual TLS."),
    "ls": Entry("keystead.cli.fetch:ls", "List the files that the server keeps for this identity."),
    "get": Entry("keystead.cli.fetch:get", "Fetch files from the server."),
    "export": Entry("keystead.cli.export:export", "Key and chain in one file, for browsers, HAProxy, Java."),
    "show": Entry("keystead.cli.show:show", "A certificate, CSR, CRL, key file or endpoint in words."),
    "status": Entry("keystead.cli.status:status", "What expires, and when."),
    "doctor": Entry("keystead.cli.doctor:doctor", "What is wrong here, and what mends it."),
}


@click.group(
    cls=LazyGroup,
    entries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: keystead demo   (nothing is left behind)",
)
@click.version_option(package_name="keystead", message="keystead %(version)s")
def cli() -> None:
    """Mutual TLS, from the first certificate to production; every private key stays where it was made."""


def main() -> NoReturn:
    """Run the command line; exit 0 when done, 1 when refused or failed, 2 for wrong usage."""
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
    sys.exit(status if isinstance(status, int) else 0)


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
