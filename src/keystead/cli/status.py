"""``keystead status``: what expires on this machine, and when."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from keystead.cli import options, say
from keystead.errors import NotThere
from keystead.machine.clock import system_clock
from keystead.pki.expiry import in_words, parse_lifetime, stamp, when
from keystead.subscriber.layout import Folder
from keystead.watch.backups import Backup, backups_in
from keystead.watch.expiry import Expiry, in_folder, in_home
from keystead.watch.status import Status, assess, mend, named


@click.command()
@click.option(
    "--within",
    default="14d",
    show_default=True,
    metavar="SPAN",
    help="Exit 1 when something ends within this span.",
)
@options.directory
@click.option(
    "--home",
    envvar="KEYSTEAD_HOME",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    default=Path("~/.keystead"),
    show_default=True,
    help="The home of this machine's CA, if it has one.",
)
@options.as_json
@click.pass_context
def status(ctx: click.Context, within: str, folder: Path, home: Path, as_json: bool) -> None:
    """List what expires in this machine's folder and in its CA, soonest first; exit 1 when it is soon.

    Of a CA it also says how old the last backup is, and warns where certificates were issued since.
    """
    span = parse_lifetime(within)
    if ctx.get_parameter_source("folder") is ParameterSource.COMMANDLINE:
        Folder(folder).require()
    home = home.expanduser()
    by_name = home if ctx.get_parameter_source("home") is ParameterSource.COMMANDLINE else None
    findings = [*in_folder(Folder(folder)), *in_home(home)]
    state = assess(findings, system_clock(), span, backups_in(home))
    if not state.expiries and not state.unreadable:
        raise NotThere(
            f"nothing that expires is in {folder} or {home}",
            why="there is neither a certificate nor a revocation list",
            mend="name the folder (--dir DIR) or the CA's home (--home DIR)",
        )
    if as_json:
        say.print_json(_as_json(state))
    else:
        _tell(state, by_name)
    ctx.exit(0 if state.is_well else 1)


def _tell(state: Status, home: Path | None) -> None:
    say.table(
        ("ends", "in", "what", "whose", "file"),
        (
            (when(entry.ends), _left(entry, state), str(entry.kind), entry.whose, str(entry.path))
            for entry in state.expiries
        ),
    )
    for unreadable in state.unreadable:
        say.warn(f"{unreadable.error.what}: {unreadable.error.why}")
    for entry in state.due:
        say.warn(f"the {entry.kind} of {entry.whose} {_verb(entry, state)} ({entry.path})")
    for entry in state.noticed:
        say.note(f"The {entry.kind} of {entry.whose} {_verb(entry, state)}; the next takes the root key.")
    for backup in state.backups:
        _tell_backup(backup, state)
    steps = [mend(entry, state.now, home) for entry in (*state.due, *state.noticed)]
    steps += [
        ("here", f"keystead ca backup --env {backup.environment}{named(home)}")
        for backup in state.backups
        if backup.is_behind
    ]
    if state.is_well:
        say.done(f"nothing ends within {in_words(state.within)}")
    say.next_steps(*(dict.fromkeys(steps) or [("here", "keystead status   (again, from a timer)")]))


def _tell_backup(backup: Backup, state: Status) -> None:
    if backup.taken is None:
        if backup.is_behind:
            say.warn(f"{backup.environment} was never backed up: with this machine all of it would be lost")
        return
    age = in_words(state.now - backup.taken)
    say.say(f"The last backup of {backup.environment} is {age} old ({when(backup.taken)}).")
    if backup.is_behind:
        since = f"{backup.issued} certificates and revoked {backup.revoked}"
        say.warn(f"{backup.environment} has issued {since} since its last backup")


def _left(entry: Expiry, state: Status) -> str:
    span = in_words(entry.ends - state.now)
    return span if entry.ends > state.now else f"{span} ago"


def _verb(entry: Expiry, state: Status) -> str:
    return f"ends in {_left(entry, state)}" if entry.ends > state.now else f"ended {_left(entry, state)}"


def _as_json(state: Status) -> dict[str, object]:
    return {
        "well": state.is_well,
        "expires": [
            {
                "path": str(entry.path),
                "kind": str(entry.kind),
                "whose": entry.whose,
                "environment": entry.environment or None,
                "ends": stamp(entry.ends),
                "due": entry in state.due,
                "notice": entry in state.noticed,
            }
            for entry in state.expiries
        ],
        "backups": [
            {
                "environment": backup.environment,
                "taken": stamp(backup.taken) if backup.taken else None,
                "issued_since": backup.issued,
                "revoked_since": backup.revoked,
                "behind": backup.is_behind,
            }
            for backup in state.backups
        ],
        "unreadable": [
            {"path": str(entry.path), "what": entry.error.what, "why": entry.error.why}
            for entry in state.unreadable
        ],
    }
