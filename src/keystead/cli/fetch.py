"""``keystead ls`` and ``keystead get``: what the server keeps for this identity."""

from __future__ import annotations

from pathlib import Path

import click

from keystead.cli import options, visit
from keystead.cli.progress import progress
from keystead.cli.say import done, fail, next_steps, note, print_json, table
from keystead.cli.sizes import in_words
from keystead.errors import KeysteadError
from keystead.machine.folders import make_private_folder
from keystead.pki.expiry import when
from keystead.subscriber.fileclient.connection import Connection
from keystead.subscriber.fileclient.fetching import fetch, list_files, list_unfinished
from keystead.subscriber.fileclient.transfers import transfer
from keystead.wire.files import Receipt


@click.command("ls")
@visit.to
@options.as_json
def ls(folder: Path, name: str | None, server: str | None, as_json: bool) -> None:
    """List the files that the server keeps for this identity, and say which have not come whole yet."""
    with visit.visiting(folder, name, server) as session:
        entries = list_files(session.first)
        unfinished = () if as_json else list_unfinished(session.first)
        caller = session.caller
    if as_json:
        print_json([entry.as_members() for entry in entries])
        return
    for upload in unfinished:
        note(
            f"{upload.name} is not here yet: {in_words(upload.offset)} of {in_words(upload.length)} came,"
            f" and are kept until {when(upload.expires)}; keystead upload goes on with it"
        )
    if not entries:
        note(f"the server keeps nothing for {caller.identity}")
        next_steps(("send something", f"keystead upload FILE{visit.again(folder, name)}"))
        return
    table(
        ("name", "size", "modified", "SHA-256"),
        [(e.name, in_words(e.size), when(e.modified), e.sha256.hex()) for e in entries],
    )
    next_steps(("fetch one", f"keystead get{visit.again(folder, name)} {visit.operand(entries[0].name)}"))


@click.command("get")
@click.argument("names", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    default=Path(),
    help="Put them there.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@visit.to
def get(
    names: tuple[str, ...], out: Path, overwrite: bool, folder: Path, name: str | None, server: str | None
) -> None:
    """Fetch files; each appears whole, its digest verified, or not at all.

    Where the connection breaks, it is tried again; after that, or after a kill, the same command goes on
    where it was.
    """
    make_private_folder(out)
    failed = 0
    with visit.visiting(folder, name, server) as session, progress() as track:

        def work(connection: Connection, wanted: str) -> Receipt:
            return fetch(connection, wanted, out, track(wanted), overwrite=overwrite)

        for outcome in transfer(session, tuple(dict.fromkeys(names)), work):
            if isinstance(outcome.result, KeysteadError):
                failed += 1
                fail(outcome.result)
            else:
                receipt = outcome.result
                done(f"{out / outcome.job}, {in_words(receipt.size)}; SHA-256 {receipt.sha256.hex()}")
    if failed:
        click.get_current_context().exit(1)
    next_steps(("what else is there", f"keystead ls{visit.again(folder, name)}"))
