"""``keystead csr``: a key and a CSR, made where the key stays."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from keystead.cli import options, say
from keystead.errors import WrongUsage
from keystead.machine.clock import system_clock
from keystead.pki.keys import EXPERIMENTAL, KEY_TYPES, KeyType, parse_key_type
from keystead.pki.names import HostNames
from keystead.subscriber.layout import Folder
from keystead.subscriber.request import request, sans_of
from keystead.subscriber.roles import Role
from keystead.subscriber.sending import MadeRequest

_CA = "on the CA's machine"


@click.command()
@click.argument("name")
@click.option(
    "--profile",
    type=click.Choice([role.value for role in Role]),
    help="What the certificate is for; an operator asks as a client.  [default: client]",
)
@click.option(
    "--san",
    "sans",
    multiple=True,
    metavar="HOST",
    help="A DNS name or IP address that a server covers; may be repeated.",
)
@click.option("--key-type", metavar="TYPE", help=f"{KEY_TYPES}.  [default: p256; the old key's]")
@click.option("--renew", "is_renewal", is_flag=True, help="Follow a certificate that is still good.")
@options.directory
def csr(
    name: str,
    profile: str | None,
    sans: tuple[str, ...],
    key_type: str | None,
    is_renewal: bool,
    folder: Path,
) -> None:
    """Make a private key and a CSR for NAME. Only the CSR travels to the CA; the key stays here."""
    wanted_type = parse_key_type(key_type) if key_type else None
    if is_renewal:
        if profile is not None:
            raise WrongUsage("--renew and --profile do not go together", why="a renewal keeps its profile")
        from keystead.subscriber.renewal import renew  # noqa: PLC0415  a new subscriber renews nothing

        _tell(renew(Folder(folder), name, sans_of(sans), wanted_type, system_clock()), "")
        return
    role = Role(profile or Role.CLIENT)
    made = request(Folder(folder), name, role, _hosts(role, sans), wanted_type or KeyType.P256)
    _tell(made, f" --profile {role}")
    if role is Role.SERVER and not sans:
        say.note("Reached by other names too? Name them all: --san HOST --san HOST … (with another NAME)")


def _hosts(role: Role, sans: tuple[str, ...]) -> HostNames:
    if role is not Role.SERVER:
        if sans:
            raise WrongUsage(
                "--san is for servers",
                why="a client's certificate covers no hosts",
                mend="leave it out, or add: --profile server",
            )
        return HostNames()
    if named := sans_of(sans):
        return named
    from keystead.subscriber.hostnames import own_names  # noqa: PLC0415  a client has none

    own = own_names()
    for name in own.unusable:
        say.warn(f"this machine is called {name!r}, which is no DNS name: it is left out")
    return own.host_names


def _tell(made: MadeRequest, profile: str) -> None:
    if made.warning:
        say.warn(made.warning)
    key = "made" if made.key_is_new else "was there already, and is used"
    csr_state = "made" if made.csr_is_new else "was there already, and is unchanged"
    say.done(f"private key {made.key_path} {key}: it never leaves this machine")
    say.done(f"CSR {made.files.csr} {csr_state}: this is what travels")
    rows = [("key", made.key_type), ("fingerprint", str(made.fingerprint))]
    if made.host_names:
        rows.append(("covers", str(made.host_names)))
    if made.renews is not None:
        rows.append(("renews", made.renews.uri))
    say.fields(rows)
    if made.is_experimental:
        say.warn(f"{EXPERIMENTAL}; a CA signs it only where its own keys or its ca.toml say so")
    if made.beyond:
        say.warn(
            f"the certificate renewed does not cover {', '.join(made.beyond)}: the CA's operator must grant"
            " that, naming all hosts with --san"
        )
    say.note(
        f"Send the CSR alone. Never copy {made.key_path.name}: whoever has it is {made.files.name}."
        " Read the fingerprint to the CA's operator over another way, such as the telephone."
    )
    say.next_steps(*_next(made, profile))


def _next(made: MadeRequest, profile: str) -> list[tuple[str, str]]:
    name = made.renews.name if made.renews else made.files.name
    environment = f" --env {made.renews.environment}" if made.renews else ""
    there = shlex.quote(made.files.csr.name)
    folder = shlex.quote(str(made.files.folder))
    return [
        ("here", f"scp {shlex.quote(str(made.files.csr))} CA-MACHINE:"),
        (_CA, f"keystead ca sign {there}{profile}{environment} --expect {made.fingerprint}"),
        ("here, after it", f"scp CA-MACHINE:{name}.pem . && keystead install {name}.pem --dir {folder}"),
    ]
