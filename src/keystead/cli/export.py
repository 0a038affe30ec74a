"""``keystead export``: key and chain in one file, for browsers, HAProxy, Java."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from keystead.cli import options, say
from keystead.errors import Unavailable, WrongUsage
from keystead.machine.secrets import Passphrase, Secrets, terminal
from keystead.subscriber import export as exporting
from keystead.subscriber.layout import Folder

_FILE = click.Path(dir_okay=False, readable=False, path_type=Path)


@click.command()
@click.argument("name")
@click.option("--p12", type=_FILE, metavar="F", help="PKCS#12, with a passphrase: browsers, Java.")
@click.option("--pem", type=_FILE, metavar="F", help="PEM, without a passphrase: HAProxy.")
@click.option(
    "--passphrase-file",
    envvar="KEYSTEAD_EXPORT_PASSPHRASE_FILE",
    type=_FILE,
    metavar="FILE",
    help="Read the passphrase of the PKCS#12 file from FILE (0600); else it is asked for.",
)
@options.directory
def export(name: str, p12: Path | None, pem: Path | None, passphrase_file: Path | None, folder: Path) -> None:
    """Write NAME's private key and chain into one file, for a program on this machine."""
    target = p12 or pem
    if target is None or (p12 and pem):
        raise WrongUsage("say which file to make", mend="give one of --p12 FILE and --pem FILE")
    pair = exporting.pair_of(Folder(folder), name)
    if p12 is not None:
        from keystead.custody.passphrases import shortness  # noqa: PLC0415  PEM has no passphrase, and no age

        exporting.require_pkcs12(pair)  # before anybody thinks of a passphrase
        passphrase = _passphrase(passphrase_file, p12)
        data, short = exporting.as_pkcs12(pair, passphrase), shortness(passphrase)
    else:
        data, short = exporting.as_pem(pair), ""
    warning = exporting.write(target, data)
    say.done(f"{target} is written, readable by this account alone")
    if warning:
        say.warn(warning)
    say.warn(f"{target} holds the PRIVATE KEY of {name}: it must not leave this machine")
    if short:
        say.warn(f"its passphrase is short ({short} for a CA's keys): who has a copy of the file guesses it")
    say.next_steps(("here", _usage(target, folder, is_p12=p12 is not None)))


def _passphrase(file: Path | None, target: Path) -> Passphrase:
    ask = terminal()
    if file is None and ask is None:
        raise Unavailable(
            f"{target} needs a passphrase, and there is no terminal to ask at",
            why="it is never taken from the arguments, which every account can see",
            mend="name a file of mode 0600: --passphrase-file FILE (KEYSTEAD_EXPORT_PASSPHRASE_FILE)",
            code="no-passphrase",
        )
    # The environment is the CA's: its passphrase must not end up on a subscriber's file.
    chosen = Secrets(environ={}, passphrase_file=file, ask=ask).for_sealing(str(target))
    assert isinstance(chosen, Passphrase)
    return chosen


def _usage(target: Path, folder: Path, *, is_p12: bool) -> str:
    file, ca = shlex.quote(str(target)), shlex.quote(str(folder / "ca.crt"))
    if is_p12:
        return f"import {file} in the browser as your certificate, and {ca} as an authority"
    return f"bind :8443 ssl crt {file} ca-file {ca} verify required   (in haproxy.cfg)"
