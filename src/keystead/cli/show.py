"""``keystead show``: what a file holds, or what an endpoint presents, in words."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import click

from keystead.cli import options, say
from keystead.errors import NotThere, WrongUsage
from keystead.machine.clock import system_clock
from keystead.subscriber import describe
from keystead.subscriber.describe import Description
from keystead.subscriber.inspect import look_into

_ENDPOINT = re.compile(r"[A-Za-z0-9.-]+:\d{1,5}|\[[0-9a-fA-F:.]+\]:\d{1,5}")


@click.command()
@click.argument("what", metavar="FILE|URL")
@options.as_json
def show(what: str, as_json: bool) -> None:
    """Say what FILE is (certificate, CSR, revocation list, key), or what the server at URL presents.

    A server is looked at without being trusted, and nothing is sent to it. HOST:PORT, where no file has
    that name, is the server there.
    """
    if "://" not in what and _ENDPOINT.fullmatch(what) and not Path(what).exists():
        what = f"https://{what}"
    descriptions = _endpoint(what) if "://" in what else _content(Path(what))
    if as_json:
        say.print_json([_as_json(description) for description in descriptions])
        return
    for description in descriptions:
        say.say(description.title)
        say.fields((line.label, line.text) for line in description.lines)
        for warning in description.warnings:
            say.warn(warning)
    say.next_steps(_next(what, descriptions))


def _content(path: Path) -> tuple[Description, ...]:
    if path.is_dir():
        folder = shlex.quote(str(path))
        raise NotThere(
            f"{path} is a folder, and of a file is said what it is",
            mend=f"name a file of it; or, for all that ends there: keystead status --dir {folder}",
        )
    return look_into(path, system_clock())


def _endpoint(url: str) -> tuple[Description, ...]:
    from keystead.tls.probe import probe  # noqa: PLC0415  a file is shown without TLS

    host, port = _address(url)
    found = probe(host, port)
    now = system_clock()
    return (
        describe.endpoint(found),
        *(describe.certificate(certificate, now) for certificate in found.certificates),
    )


def _address(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 443
    except ValueError:
        parts, host, port = urlsplit(""), None, 0
    if parts.password is not None:
        raise WrongUsage(
            "a URL with a password is not taken",
            why="arguments are seen by every account of this machine",
            mend="leave it out: nothing is sent to the server here",
        )
    if parts.scheme != "https" or not host:
        raise WrongUsage(
            f"{url!r} is no https URL",
            why="only an endpoint that speaks TLS presents a certificate",
            mend="write it as https://HOST:PORT",
        )
    return host, port


def _as_json(description: Description) -> dict[str, object]:
    return {
        "kind": description.kind,
        **{line.key: line.value for line in description.lines},
        "warnings": list(description.warnings),
    }


_NEXT = {
    "csr": ("on the CA's machine", "keystead ca sign FILE --expect FINGERPRINT"),
    "private-key": ("here", "keystead status"),
    "crl": ("here", "keystead status"),
    "endpoint": ("here", "keystead upload FILE --to URL"),
    "certificate": ("here", "keystead status"),
}


def _next(what: str, descriptions: tuple[Description, ...]) -> tuple[str, str]:
    first = descriptions[0]
    where, command = _NEXT[first.kind]
    fingerprint = next((line.text for line in first.lines if line.key == "key_fingerprint"), "")
    filled = command.replace("URL", what).replace("FINGERPRINT", fingerprint)
    return where, filled.replace("sign FILE", f"sign {what}")
