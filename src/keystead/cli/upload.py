"""``keystead upload``: sends files over mutual TLS."""

from __future__ import annotations

from pathlib import Path

import click

from keystead.cli import visit
from keystead.cli.progress import progress
from keystead.cli.say import done, fail, next_steps
from keystead.cli.sizes import in_words
from keystead.errors import KeysteadError, WrongUsage
from keystead.subscriber.fileclient.connection import Connection
from keystead.subscriber.fileclient.sending import send
from keystead.subscriber.fileclient.sources import size_of
from keystead.subscriber.fileclient.transfers import transfer
from keystead.wire.files import Receipt


@click.command("upload")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(readable=False, path_type=Path)
)
@visit.to
def upload(files: tuple[Path, ...], folder: Path, name: str | None, server: str | None) -> None:
    """Send files to the server, which keeps them for this identity alone.

    Each is hashed while it is sent, and what the server got is compared. Several go at once. Where the
    connection breaks, it is tried again; after that, or after a kill, the same command goes on where it was.
    """
    _check_names(files)
    for path in files:
        size_of(path)
    failed = 0
    with visit.visiting(folder, name, server) as session, progress() as track:

        def work(connection: Connection, path: Path) -> Receipt:
            return send(connection, path, track(path.name))

        for outcome in transfer(session, files, work):
            if isinstance(outcome.result, KeysteadError):
                failed += 1
                fail(outcome.result)
            else:
                _tell(outcome.job, outcome.result, str(session.caller.identity))
    if failed:
        click.get_current_context().exit(1)
    same = visit.again(folder, name)
    # Into another folder: where it was sent from it lies already, and is not overwritten.
    fetching = f"keystead get --out fetched{same} {visit.operand(files[0].name)}"
    next_steps(("what is there now", f"keystead ls{same}"), ("fetch it again", fetching))


def _tell(path: Path, receipt: Receipt, identity: str) -> None:
    done(f"{path} is there, {in_words(receipt.size)}, as {identity}'s; SHA-256 {receipt.sha256.hex()}")


def _check_names(files: tuple[Path, ...]) -> None:
    names = [path.name for path in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise WrongUsage(
            f"{twice[0]!r} is named twice",
            why="the server keeps one file of a name, and which of them would stay is chance",
            mend="send them one after the other, or rename one",
        )
