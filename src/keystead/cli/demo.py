"""``keystead demo``: the workflow played before one's eyes."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click

from keystead.cli.say import done, escape, next_steps, say
from keystead.errors import AlreadyThere
from keystead.machine.folders import make_private_folder
from keystead.workflows.demo import play


@click.command("demo")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    help="Play it there and keep the files; without it, nothing is left behind.",
)
def demo(folder: Path | None) -> None:
    """Play the whole workflow with real processes on this machine, then each refusal.

    CA, web server, client, CSRs, certificates, an upload over mutual TLS; then: no certificate, another
    environment's, an expired one, a revoked one, a wrong host name. Every step is a command to be typed.
    """
    start = time.monotonic()
    with ExitStack() as stack:
        place = folder or Path(tempfile.mkdtemp(prefix="keystead-demo-"))
        if folder is None:
            stack.callback(shutil.rmtree, place)
        elif folder.exists() and any(folder.iterdir()):
            raise AlreadyThere(
                f"the folder {folder} is not empty",
                mend="name a new one: keystead demo --dir DIR",
            )
        make_private_folder(place)
        play(place.resolve(), _OnTerminal())
    say()
    done(f"all of it went as it should, in {time.monotonic() - start:.1f} s")
    if folder is not None:
        say(f"The files are in {folder}: each folder in it stands for a machine.")
    next_steps(
        ("for local testing", "keystead dev"),
        ("for real", "keystead ca init --env prod --org ORG"),
    )


class _OnTerminal:
    """Tells the audience: chapters in bold, commands after a prompt, what they print indented."""

    def __init__(self) -> None:
        self._number = 0

    def chapter(self, title: str) -> None:
        """A new part begins."""
        self._number += 1
        click.echo()
        click.secho(f"{self._number}. {title}", bold=True)

    def typed(self, command: str) -> None:
        """This is what one would type."""
        click.echo(f"   $ {click.style(command, fg='cyan')}")

    def printed(self, text: str) -> None:
        """This is what it printed."""
        click.echo(f"     {escape(text)}")

    def remark(self, text: str) -> None:
        """This is what it means."""
        click.secho(f"     · {escape(text)}", dim=True)
