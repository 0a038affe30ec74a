"""``keystead doctor``: what is wrong on this machine, why, and what mends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import click
from click.core import ParameterSource

from keystead.cli import options, say
from keystead.errors import NotThere
from keystead.machine.clock import system_clock
from keystead.subscriber.fileclient.address import ServerAddress
from keystead.subscriber.layout import Folder
from keystead.watch.doctor import examination
from keystead.watch.doctor.outcomes import Broken, Diagnosis, Finding, Outcome, Warned


@click.command()
@click.argument("url", required=False)
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
def doctor(ctx: click.Context, url: str | None, folder: Path, home: Path, as_json: bool) -> None:
    """Find what is wrong in this machine's folder and in its CA, and with the server at URL.

    Each finding says what is wrong, why, and what mends it, on which machine. No file of yours is changed,
    and a server is sent nothing until it has proved who it is. Exit 1 where something does not work; a
    warning alone is 0.
    """
    address = ServerAddress.parse(url) if url else None
    own = Folder(folder)
    if ctx.get_parameter_source("folder") is ParameterSource.COMMANDLINE:
        own.require()
    if ctx.get_parameter_source("home") is ParameterSource.COMMANDLINE:
        _require_home(home)
    diagnosis = Diagnosis.of(_examined(own, home.expanduser(), address))
    if not diagnosis.outcomes:
        raise NotThere(
            f"nothing of keystead is in {folder} or {home}",
            why="there is neither a subscriber's folder nor a CA",
            mend="name the folder (--dir DIR), the CA's home (--home DIR), or a server (keystead doctor URL)",
        )
    if as_json:
        say.print_json(_as_json(diagnosis))
    else:
        _tell(diagnosis)
    ctx.exit(1 if diagnosis.problems else 0)


def _examined(folder: Folder, home: Path, address: ServerAddress | None) -> Iterator[Outcome]:
    if examination.has_folder(folder):
        yield from examination.of_folder(folder, system_clock)
    if examination.has_home(home):
        yield from examination.of_home(home, system_clock)
    if address is not None:
        yield from examination.of_server(address, folder, system_clock)


def _require_home(home: Path) -> None:
    if not examination.has_home(home.expanduser()):
        raise NotThere(
            f"there is no CA in {home}",
            why="a CA's home has a folder for each environment, with its ca.toml",
            mend="name the right one (--home DIR), or make a CA there: keystead ca init --home DIR",
        )


def _tell(diagnosis: Diagnosis) -> None:
    for finding in diagnosis.findings:
        say.say(f"{_WEIGHT[type(finding)]}: {finding.what}   [{finding.code}]")
        if finding.why:
            say.say(f"   why: {finding.why}")
        for step in finding.mend:
            say.say(f"  mend: {step.where}: {step.command}")
    for skipped in diagnosis.skipped:
        say.note(f"not tried: {skipped.looked_at} ({skipped.reason})")
    if not diagnosis.findings:
        say.done(f"all is well: {len(diagnosis.outcomes)} things were looked at")
        say.next_steps(("here", "keystead status   (what expires)"))
        return
    say.next_steps(("here", "keystead doctor   (again, with the same options, when that is mended)"))


_WEIGHT: Mapping[type[Finding], str] = MappingProxyType({Broken: "problem", Warned: "warning"})


def _as_json(diagnosis: Diagnosis) -> dict[str, object]:
    return {
        "well": not diagnosis.findings,
        "looked_at": len(diagnosis.outcomes),
        "findings": [
            {
                "weight": _WEIGHT[type(finding)],
                "code": finding.code,
                "what": finding.what,
                "why": finding.why,
                "mend": [{"where": step.where, "command": step.command} for step in finding.mend],
            }
            for finding in diagnosis.findings
        ],
        "skipped": [
            {"code": skipped.code, "looked_at": skipped.looked_at, "reason": skipped.reason}
            for skipped in diagnosis.skipped
        ],
    }
