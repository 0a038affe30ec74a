"""``keystead dev``: everything for local testing, in one command."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from keystead.ca.home import Home, read_charter
from keystead.cli import options
from keystead.cli.ca.group import actor, headline
from keystead.cli.say import done, fields, next_steps, say, warn
from keystead.machine.clock import system_clock
from keystead.pki.expiry import in_words
from keystead.subscriber.layout import Folder
from keystead.subscriber.roles import Role
from keystead.workflows.dev import ENVIRONMENT, NAMES, home_of, prepare


@click.command("dev")
@options.directory
def dev(folder: Path) -> None:
    """Make a development CA, a server's and a client's files in one folder, for tests on this machine.

    All of it is of the environment dev, which no other environment trusts. Run again, it renews what is
    about to end, and replaces what has ended.
    """
    place = Folder(folder)
    prepared = list(prepare(place, actor=actor()))
    home = home_of(place)
    charter = read_charter(home, ENVIRONMENT)
    say(headline(charter))
    for each in prepared:
        left = in_words(each.not_after - system_clock())
        done(f"{each.role}: {each.files.certificate} and its key, {each.became} ({left} left)")
    fields(
        [
            ("trusts", str(place.ca)),
            ("revoked", str(place.crl)),
            ("CA", f"{home.path} (its keys are NOT sealed)"),
        ]
    )
    warn("for tests on this machine only: whoever can read this folder is the CA, the server and the client")
    next_steps(*_steps(place, home, charter.crl_path))


def _steps(place: Folder, home: Home, crl_path: Path) -> list[tuple[str, str]]:
    folder = shlex.quote(str(place.path))
    where = options.at(place.path)
    at_home = f"--home {shlex.quote(str(home.path))}"
    client = place.files(NAMES[Role.CLIENT])
    curl = f"curl --cacert {place.ca} --cert {client.certificate} --key {client.key}"
    one_more = (
        f"keystead csr NAME{where} && keystead ca sign {folder}/NAME.csr {at_home}"
        f" && keystead install {folder}/NAME.pem{where}"
    )
    refuse = f"keystead ca revoke client --reason superseded {at_home} && cp {crl_path} {place.crl}"
    return [
        ("in one terminal", f"keystead serve{where}"),
        ("in another", f"keystead upload FILE{where}"),
        ("or with curl", f"{curl} -T FILE https://localhost:8443/files/"),
        ("one more client", one_more),
        ("to see one refused", refuse),
    ]
