"""``keystead ca restore``: brings an environment back from a backup."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from keystead.ca.home import Home
from keystead.ca.procedures.landing import Source
from keystead.ca.procedures.mending import FILES, put_back
from keystead.ca.procedures.restore import Published, Restored
from keystead.ca.procedures.restore import restore as bring_back
from keystead.cli import options
from keystead.cli.ca import archives
from keystead.cli.ca.group import Place, actor, placed, secrets_from
from keystead.cli.say import done, fields, next_steps, note, warn
from keystead.errors import WrongUsage
from keystead.machine.files import read_bounded
from keystead.pki.expiry import when
from keystead.pki.revocation import MAX_CRL_OCTETS, crl_number

_FEW = 20


@click.command("restore")
@placed
@click.argument("archive", type=click.Path(dir_okay=False, readable=False, path_type=Path))
@click.option(
    "--crl",
    "crl",
    type=click.Path(dir_okay=False, readable=False, path_type=Path),
    help="The last published crl.pem (every server has it): what it revokes stays revoked.",
)
@click.option("--without-crl", is_flag=True, help="No list was published since the backup. Audited.")
@click.option(
    "--only",
    type=click.Choice(FILES),
    multiple=True,
    help="Into an environment that is there, put this file alone back. May be repeated.",
)
@archives.identity
@archives.passphrase_file
@options.passphrase_file
def restore(
    place: Place,
    archive: Path,
    crl: Path | None,
    without_crl: bool,
    only: tuple[str, ...],
    identity: Path | None,
    archive_passphrase_file: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Bring back the environment that ARCHIVE holds, verified before any of it counts.

    An environment that exists is never overwritten. Revocations since the backup are taken from the last
    published crl.pem. The CA's keys are opened: each signs a test, then fresh revocation lists.
    """
    if only:
        if crl is not None or without_crl:
            raise WrongUsage("--only touches no list: --crl and --without-crl have no meaning with it")
        _put_back(place, archives.source(place, archive, identity, archive_passphrase_file), only)
        return
    if (crl is None) is not without_crl:
        raise WrongUsage(
            "say which list was published last: --crl FILE or --without-crl, one of them",
            why="a backup does not know who was revoked after it, and would let them in again",
            mend="take the newest crl.pem of a server (SERVER:certs/crl.pem): --crl crl.pem",
        )
    published = None if crl is None else Published(read_bounded(crl, MAX_CRL_OCTETS), str(crl))
    restored = bring_back(
        Home(place.home),
        archives.source(place, archive, identity, archive_passphrase_file),
        published,
        secrets_from(passphrase_file),
        actor=actor(),
        announce=archives.announce,
    )
    _tell(restored, place.home, published)
    place = place.and_also(None, restored.manifest.environment)
    next_steps(
        (
            "take the fresh list to every server",
            f"scp {shlex.quote(str(restored.charter.crl_path))} SERVER:certs/crl.pem"
            "   (in force within a second)",
        ),
        ("here, once it works", place.command("backup")),
    )


def _put_back(place: Place, source: Source, only: tuple[str, ...]) -> None:
    for found in put_back(Home(place.home), source, only, actor=actor(), announce=archives.announce):
        done(f"{found.path} is as in the backup")
        if found.aside is not None:
            note(f"  what was there before is now {found.aside}")
    next_steps(("here, whether all is well", f"keystead doctor --home {shlex.quote(str(place.home))}"))


def _tell(restored: Restored, home: Path, published: Published | None) -> None:
    manifest, merged = restored.manifest, restored.merged
    done(f"the environment {manifest.environment} is back, in {home / manifest.environment}")
    numbers = " and ".join(str(crl_number(item.crl)) for item in restored.lists)
    fields(
        [
            *archives.proofs(restored),
            ("revoked since", _since(restored) if published else "NOT KNOWN (--without-crl)"),
            ("barred keys", f"{restored.barred:,}"),
            ("fresh lists", f"number {numbers}, with {restored.lists[0].entries:,} revoked"),
        ]
    )
    if published is None:
        warn("whoever was revoked after the backup is let in again where the fresh list arrives: revoke anew")
    elif not restored.told_more:
        warn(
            f"{published.name} is no newer than the backup. Where somebody was revoked since, a server has a"
            " newer list, and the fresh one would let them in again: look there before you carry it"
        )
        note("  keystead show certs/crl.pem   (a higher number there: move this away, and use that list)")
    if merged.carried:
        few, more = merged.carried[:_FEW], len(merged.carried) - _FEW
        warn(
            f"revoked, and issued after the backup, so that nobody knows here whose they are:"
            f" {', '.join(few)}{f' and {more} more' if more > 0 else ''}"
        )
    if "root" not in restored.keys:
        warn("the root's key is not in the backup: the root's list stays as it was")
    note(
        f"What was issued after {when(manifest.made)} is not in it: such a certificate stays good until its"
        " end. Have its owner send a new CSR, and sign that; `ca revoke FILE` ends one by its file."
    )


def _since(restored: Restored) -> str:
    merged = restored.merged
    return f"{len(merged.recorded)} of its certificates, {len(merged.carried)} that it does not know"
