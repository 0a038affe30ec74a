"""``keystead serve``: the web server that admits only trusted certificates."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import click
from cryptography import x509

from keystead.cli import options
from keystead.cli.say import done, fields, next_steps, warn
from keystead.cli.sizes import Size
from keystead.machine.clock import system_clock
from keystead.machine.files import PRIVATE
from keystead.machine.oserrors import told
from keystead.pki.certificates import host_names
from keystead.pki.expiry import in_words, parse_lifetime, spell_lifetime
from keystead.pki.names import HostNames
from keystead.pki.revocation import next_update
from keystead.subscriber.anew import asking_anew
from keystead.subscriber.fileserver.limits import UploadLimits
from keystead.subscriber.fileserver.material import ServerMaterial
from keystead.subscriber.fileserver.service import Service
from keystead.subscriber.folder import Material, read_crls
from keystead.subscriber.layout import Folder
from keystead.tls.crlurl import POLL, CrlUrl, Remote, is_url
from keystead.web.limits import Limits
from keystead.web.listeners import Address, parse_listen
from keystead.web.server import DEFAULT_LISTEN
from keystead.web.server import serve as serve_alone
from keystead.web.supervisor import serve_many

_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104  to be recognised, not bound
_LIMITS = Limits()
_UPLOADS = UploadLimits()
_SECONDS = click.FloatRange(min=0, min_open=True)
_COUNT = click.IntRange(min=1)
_MOST_WORKERS = 64


class ListPlace(click.ParamType[Path | CrlUrl]):
    """A file, or an http or https URL."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | CrlUrl:
        """Which of both a text names; `WrongUsage` for a URL that cannot be used."""
        if is_url(value):
            return CrlUrl.parse(value)
        click.Path(dir_okay=False, readable=False).convert(value, param, ctx)
        return Path(value)


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
    "--workers",
    type=click.IntRange(1, _MOST_WORKERS),
    default=1,
    show_default=True,
    help="Processes that serve, for as many cores.",
)
@click.option(
    "--uploads",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    help="Where the files go.  [default: uploads, in the folder]",
)
@click.option(
    "--crl",
    type=ListPlace(),
    metavar="FILE|URL",
    help="The revocation lists; from a URL into crl.pem.  [default: crl.pem, in the folder]",
)
@click.option(
    "--crl-poll",
    type=click.FloatRange(min=1),
    default=POLL.total_seconds(),
    show_default=True,
    help="Seconds between two questions to the URL of --crl.",
)
@click.option(
    "--log",
    type=click.Path(dir_okay=False, readable=False, path_type=Path),
    help="Append the log (JSON, one object a line) to this file.  [default: standard error]",
)
@click.option(
    "--min-tls",
    type=click.Choice(["1.2", "1.3"]),
    default="1.3",
    show_default=True,
    help="The oldest version of TLS that is spoken.",
)
@click.option("--max-file", type=Size(), default=_UPLOADS.file, help="The largest upload.  [default: 16g]")
@click.option("--quota", type=Size(), help="What one identity may store in all.  [default: no limit]")
@click.option("--keep-free", type=Size(), default=_UPLOADS.spare, help="Disk left alone.  [default: 1g]")
@click.option(
    "--upload-expiry",
    default=spell_lifetime(_UPLOADS.expiry),
    show_default=True,
    metavar="SPAN",
    help="How long an interrupted upload is kept.",
)
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
    workers: int,
    uploads: Path | None,
    crl: Path | CrlUrl | None,
    crl_poll: float,
    log: Path | None,
    min_tls: str,
    max_file: int,
    quota: int | None,
    keep_free: int,
    upload_expiry: str,
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
    service = Service(
        folder=folder,
        name=name,
        crl=crl if isinstance(crl, Path) else None,
        uploads=uploads or folder / "uploads",
        upload_limits=UploadLimits(max_file, quota, keep_free, parse_lifetime(upload_expiry)),
        application=application,
        tls_1_2=min_tls == "1.2",
        remote=Remote(crl, timedelta(seconds=crl_poll)) if isinstance(crl, CrlUrl) else None,
    )
    for problem in service.bring_lists():
        reason = ": ".join(part for part in (problem.what, problem.why) if part)
        warn(f"{reason}; the lists in the folder stay in force")
    found = service.material()
    limits = Limits(
        head=max_head,
        handshake_seconds=handshake_timeout,
        head_seconds=head_timeout,
        stall_seconds=stall_timeout,
        connections=max_connections,
        connections_per_address=max_per_address,
        stop_seconds=stop_timeout,
    )
    _warn_of_end(found.material)
    _warn_of_names(found, [host for host, _ in places])

    what = service.what + (f", from {workers} workers," if workers > 1 else "")
    tell = partial(_tell, found, [host for host, _ in places], what)
    with ExitStack() as stack:
        stream = sys.stderr
        if log is not None:
            with told(log, "write"):
                stream = stack.enter_context(_private_log(log))
        if workers == 1:
            app = service.app(found)
            serve_alone(app, found.source, listen=listen, limits=limits, log=stream, on_ready=tell)
        else:
            service.prepare(found)
            serve_many(service.make, workers=workers, listen=listen, limits=limits, log=stream, on_ready=tell)
    done("stopped")


def _private_log(path: Path) -> TextIO:
    """The log to append to, readable by its owner alone: it tells who was here, and from where."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    return os.fdopen(descriptor, "a", buffering=1, encoding="utf-8")


def _left(certificate: x509.Certificate, now: datetime) -> str:
    ends = certificate.not_valid_after_utc
    return f"{in_words(ends - now)} left" if ends > now else f"ENDED {in_words(now - ends)} ago"


def _due(moment: datetime, now: datetime) -> str:
    return f"due in {in_words(moment - now)}" if moment > now else f"OVERDUE for {in_words(now - moment)}"


def _origin(remote: Remote | None) -> str:
    return "" if remote is None else f"; every {remote.poll.total_seconds():g} s from {remote.url.text}"


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


def _tell(found: ServerMaterial, hosts: Sequence[str], what: str, addresses: Sequence[Address]) -> None:
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
            ("revocation", f"{found.source.crl}, {_due(due, system_clock())}{_origin(found.source.remote)}"),
        ]
    )
    here = "" if material.certificate_path.parent == options.DEFAULT_DIRECTORY else " --dir DIR"
    to = "" if url == "https://localhost:8443" else f" --to {shlex.quote(url)}"
    next_steps(("on a client's machine", f"keystead upload FILE{to}{here}"), ("to stop", "Ctrl-C"))
    sys.stdout.flush()
