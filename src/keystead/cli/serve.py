"""``keystead serve``: the web server that admits only trusted certificates."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

import click
from cryptography import x509

from keystead.cli import options
from keystead.cli.say import done, fields, next_steps, warn
from keystead.cli.sizes import Size
from keystead.errors import NotThere, WrongUsage
from keystead.machine.clock import system_clock
from keystead.machine.files import PRIVATE
from keystead.machine.oserrors import told
from keystead.pki.certificates import host_names
from keystead.pki.expiry import in_words
from keystead.pki.names import HostNames
from keystead.pki.revocation import next_update
from keystead.subscriber.anew import asking_anew
from keystead.subscriber.fileserver.app import make_app
from keystead.subscriber.fileserver.limits import UploadLimits
from keystead.subscriber.fileserver.material import ServerMaterial, open_material
from keystead.subscriber.fileserver.shelf import open_store
from keystead.subscriber.folder import Material, read_crls
from keystead.subscriber.layout import Folder
from keystead.web.limits import Limits
from keystead.web.listeners import Address, parse_listen
from keystead.web.server import DEFAULT_LISTEN
from keystead.web.server import serve as run_server

_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104  to be recognised, not bound
_LIMITS = Limits()
_UPLOADS = UploadLimits()
_SECONDS = click.FloatRange(min=0, min_open=True)
_COUNT = click.IntRange(min=1)


@click.command("serve")
@click.argument("application", metavar="[APP]", required=False)
@options.directory
@options.name
@click.option(
    "--listen",
    multiple=True,
    default=DEFAULT_LISTEN,
    show_default=True,
    metavar="HOST:PORT",
    help="Where; a name binds every address it resolves to. May be repeated.",
)
@click.option(
    "--uploads",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the files go.  [default: uploads, in the folder]",
)
@click.option(
    "--crl",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The revocation lists.  [default: crl.pem, in the folder]",
)
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append the log (JSON, one object a line) to this file.  [default: standard error]",
)
@click.option("--max-file", type=Size(), default=_UPLOADS.file, help="The largest upload.  [default: 16g]")
@click.option("--quota", type=Size(), help="What one identity may store in all.  [default: no limit]")
@click.option("--keep-free", type=Size(), default=_UPLOADS.spare, help="Disk left alone.  [default: 1g]")
@click.option("--max-head", type=Size(), default=_LIMITS.head, help="A request's head.  [default: 32k]")
@click.option(
    "--handshake-timeout",
    type=_SECONDS,
    default=_LIMITS.handshake_seconds,
    show_default=True,
    help="From the connection to the finished handshake.",
)
@click.option(
    "--head-timeout",
    type=_SECONDS,
    default=_LIMITS.head_seconds,
    show_default=True,
    help="For a request's head, and the wait between two.",
)
@click.option(
    "--stall-timeout",
    type=_SECONDS,
    default=_LIMITS.stall_seconds,
    show_default=True,
    help="A body or a reader without progress.",
)
@click.option(
    "--stop-timeout",
    type=_SECONDS,
    default=_LIMITS.stop_seconds,
    show_default=True,
    help="For what still runs at SIGTERM.",
)
@click.option(
    "--max-connections", type=_COUNT, default=_LIMITS.connections, show_default=True, help="At once, in all."
)
@click.option("--max-per-address", type=_COUNT, default=_LIMITS.connections_per_address, show_default=True)
def serve(
    application: str | None,
    folder: Path,
    name: str | None,
    listen: tuple[str, ...],
    uploads: Path | None,
    crl: Path | None,
    log: Path | None,
    max_file: int,
    quota: int | None,
    keep_free: int,
    max_head: int,
    handshake_timeout: float,
    head_timeout: float,
    stall_timeout: float,
    stop_timeout: float,
    max_connections: int,
    max_per_address: int,
) -> None:
    """Serve over mutual TLS: files of those who send them, or any ASGI application (APP: module:name).

    Only certificates of this server's environment get in, and none that is revoked. New certificates,
    anchors and lists in the folder are in force within a second, without a restart. Timeouts are in
    seconds. SIGTERM ends it once what runs is finished.
    """
    places = [parse_listen(text) for text in listen]
    found = open_material(folder, name, crl)
    material = found.material
    where = uploads or folder / "uploads"
    app: Any
    if application is None:
        app = make_app(open_store(where, material.trust_domain), UploadLimits(max_file, quota, keep_free))
    else:
        app = _load(application)
    limits = Limits(
        head=max_head,
        handshake_seconds=handshake_timeout,
        head_seconds=head_timeout,
        stall_seconds=stall_timeout,
        connections=max_connections,
        connections_per_address=max_per_address,
        stop_seconds=stop_timeout,
    )
    _warn_of_end(material)
    _warn_of_names(found, [host for host, _ in places])

    def tell(addresses: Sequence[Address]) -> None:
        _tell(found, [host for host, _ in places], addresses, application or f"files into {where}")

    with ExitStack() as stack:
        stream = sys.stderr
        if log is not None:
            with told(log, "write"):
                stream = stack.enter_context(_private_log(log))
        run_server(app, found.source, listen=listen, limits=limits, log=stream, on_ready=tell)
    done("stopped")


def _private_log(path: Path) -> TextIO:
    """The log to append to, readable by its owner alone: it tells who was here, and from where."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    return os.fdopen(descriptor, "a", buffering=1, encoding="utf-8")


def _load(application: str) -> Any:
    """The ASGI application that ``module:attribute`` names, imported from the current folder or beyond."""
    module, colon, attribute = application.partition(":")
    if not (colon and module and attribute):
        raise WrongUsage(
            f"{application!r} is not an application",
            why="it is a module, a colon, and the name of the ASGI application in it",
            mend="write for example: keystead serve myservice:app",
        )
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        raise NotThere(
            f"there is no module {error.name!r}",
            why=f"{application} was looked for in this folder and in the installed packages",
            mend="run it from the folder that holds the module, with the Python that has its packages",
            code="no-app",
        ) from None
    try:
        return getattr(found, attribute)
    except AttributeError:
        raise NotThere(f"the module {module} has no {attribute!r}", code="no-app") from None


def _left(certificate: x509.Certificate, now: datetime) -> str:
    ends = certificate.not_valid_after_utc
    return f"{in_words(ends - now)} left" if ends > now else f"ENDED {in_words(now - ends)} ago"


def _due(moment: datetime, now: datetime) -> str:
    return f"due in {in_words(moment - now)}" if moment > now else f"OVERDUE for {in_words(now - moment)}"


def _warn_of_end(material: Material) -> None:
    now = system_clock()
    if material.certificate.not_valid_after_utc <= now:
        files = Folder(material.certificate_path.parent).files(material.name)
        warn(
            f"{material.certificate_path} {_left(material.certificate, now)}: every client refuses it until"
            f" another is installed; in another terminal: {asking_anew(files, material.certificate)}"
        )


def _warn_of_names(found: ServerMaterial, hosts: Sequence[str]) -> None:
    covered = host_names(found.material.certificate)
    for host in hosts:
        if host not in _EVERY_ADDRESS and not HostNames.of([host]) <= covered:
            warn(
                f"{found.material.certificate_path} does not cover {host!r}: clients that connect to it under"
                f" that name refuse it (it covers {covered})"
            )


def _tell(found: ServerMaterial, hosts: Sequence[str], addresses: Sequence[Address], what: str) -> None:
    material = found.material
    due = min(map(next_update, read_crls(found.source.crl) or ()), default=system_clock())
    url = f"https://{hosts[0] if hosts[0] not in _EVERY_ADDRESS else 'HOST'}:{addresses[0].port}"
    done(f"serving {what} at {url}")
    fields(
        [
            ("identity", material.identity.uri),
            ("environment", material.identity.environment),
            ("addresses", ", ".join(map(str, addresses))),
            ("certificate", f"{material.certificate_path}, {_left(material.certificate, system_clock())}"),
            ("covers", str(host_names(material.certificate))),
            (
                "revocation",
                f"{found.source.crl}, {_due(due, system_clock())}",
            ),
        ]
    )
    here = "" if material.certificate_path.parent == options.DEFAULT_DIRECTORY else " --dir DIR"
    to = "" if url == "https://localhost:8443" else f" --to {shlex.quote(url)}"
    next_steps(("on a client's machine", f"keystead upload FILE{to}{here}"), ("to stop", "Ctrl-C"))
    sys.stdout.flush()
