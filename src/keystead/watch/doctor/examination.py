"""The whole examination: which tables are run over what there is on this machine.

Not here: the checks, and printing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from keystead.ca.layout import CONFIGURATION, ROOT_CERTIFICATE, places
from keystead.errors import KeysteadError
from keystead.machine.clock import Clock
from keystead.machine.oserrors import told
from keystead.subscriber.fileclient.address import ServerAddress
from keystead.subscriber.fileclient.session import credentials_of
from keystead.subscriber.folder import read_anchors, read_crls
from keystead.subscriber.layout import Folder
from keystead.watch.doctor import admission, endpoint, holders, revocation, storage, trust
from keystead.watch.doctor.checks import of_error, run
from keystead.watch.doctor.outcomes import Broken, Outcome, Skipped
from keystead.watch.doctor.scene import Certificates, Crl, look


def has_folder(folder: Folder) -> bool:
    """Whether there is a subscriber's folder."""
    with told(folder.path, "read"):
        return folder.path.is_dir()


def has_home(home: Path) -> bool:
    """Whether a CA was made in ``home``."""
    with told(home, "read"):
        return any(
            (place / name).exists() for place in places(home) for name in (ROOT_CERTIFICATE, CONFIGURATION)
        )


def of_folder(folder: Folder, clock: Clock) -> Iterator[Outcome]:
    """What is wrong in a subscriber's folder."""
    try:
        scene = look(folder, clock())
    except KeysteadError as error:
        yield of_error("folder-unreadable", error)
        return
    yield from run(storage.CHECKS, scene)
    yield from run(holders.CHECKS, scene)
    yield from run(trust.CHECKS, scene)
    yield from run(revocation.CHECKS, scene)


def of_home(home: Path, clock: Clock) -> Iterator[Outcome]:
    """What is wrong in each environment of a CA's home."""
    # The CA's wing brings the database, which a subscriber's machine does not load.
    from keystead.watch.doctor import authority, office  # noqa: PLC0415  see above

    for found in office.offices(home, clock()):
        yield from run(authority.CHECKS, found)


def of_server(address: ServerAddress, folder: Folder, clock: Clock) -> Iterator[Outcome]:
    """What is wrong with the server at ``address``, as a client with ``folder`` sees it."""
    found = admission.knock(address)
    if isinstance(found, Broken):
        yield found
        return
    shown = endpoint.Endpoint(found.probed, *_trusted(folder), clock())
    outcomes = list(run(endpoint.CHECKS, shown))
    yield from outcomes
    if any(isinstance(outcome, Broken) for outcome in outcomes):
        yield _not_tried("what is wrong with the server comes first")
        return
    try:
        credentials = credentials_of(folder.path, None)
    except KeysteadError as error:
        yield _not_tried(error.what)
        return
    yield from admission.try_it(credentials, address, clock)


def _trusted(folder: Folder) -> tuple[Certificates, tuple[Crl, ...]]:
    """Whom the folder trusts; nobody where it cannot be read, which `of_folder` tells."""
    try:
        return read_anchors(folder.ca), read_crls(folder.crl) or ()
    except KeysteadError:
        return (), ()


def _not_tried(reason: str) -> Skipped:
    code, looks_at = admission.ADMITTED
    return Skipped(code, looks_at, reason)
