"""Where an archive comes down: a folder of another name, made when its manifest is known, and thrown away
unless all goes well.

Until the manifest is there, nothing is written at all. Not here: what is verified afterwards (`restore`).
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from io import FileIO
from pathlib import Path

from keystead.ca.home import Home
from keystead.ca.layout import INVENTORY
from keystead.ca.procedures.manifest import Manifest
from keystead.ca.procedures.packing import Contents, Unpacker
from keystead.custody.envelope import open_sealed
from keystead.custody.recipients import Opener
from keystead.errors import AlreadyThere, Refused, Unavailable, Violation
from keystead.machine.clock import Clock
from keystead.machine.files import PRIVATE, check_unwritable
from keystead.machine.folders import make_private_folder
from keystead.machine.leftovers import make
from keystead.machine.locks import hold
from keystead.machine.oserrors import told
from keystead.machine.secrets import Passphrase
from keystead.pki.expiry import CLOCK_TOLERANCE, when

PATIENCE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Source:
    """An archive, what opens it, and which environment is wanted of it (None: whichever it holds)."""

    path: Path
    by: Opener | Passphrase
    environment: str | None = None


@dataclass(frozen=True, slots=True)
class Landed:
    """What came down, and the folder ``part`` with its inventory. Nobody else makes an environment now."""

    contents: Contents
    part: Path


Announce = Callable[[Manifest], None]
"""Told of the manifest as soon as it is read; what it raises ends the landing."""


@contextmanager
def landed(home: Home, source: Source, clock: Clock, announce: Announce) -> Iterator[Landed]:
    """Open the archive for the time of the body, which is to rename the folder; else it is removed.

    Raises `BadInput` where the archive is damaged or not opened by what was given, `AlreadyThere` where its
    environment exists in ``home``, `Refused` where it is not the one that is wanted, `Unavailable` where
    the clock stands before the backup.
    """
    with ExitStack() as stack:
        spools: list[_Spool] = []

        def land(manifest: Manifest) -> _Spool:
            announce(manifest)
            _check_wanted(home, source, manifest)
            _check_clock(source, manifest, clock)
            part = stack.enter_context(_folder(home, manifest.environment))
            spools.append(stack.enter_context(_spool(part / INVENTORY)))
            return spools[0]

        unpacker = Unpacker(land, str(source.path))
        with told(source.path, "read"), source.path.open("rb") as file:
            open_sealed(file, unpacker, source.by, str(source.path))
        contents = unpacker.contents()
        (spool,) = spools
        spool.finish()
        yield Landed(contents, spool.path.parent)


def _check_wanted(home: Home, source: Source, manifest: Manifest) -> None:
    found, wanted = manifest.environment, source.environment
    if wanted not in (None, found):
        violation = Violation(
            "other-environment",
            f"it was made of {found!r}, and {wanted!r} is asked for",
            f"leave --env out, or say --env {found}",
        )
        raise Refused(f"{source.path} is not of the environment {wanted!r}", [violation])
    if (folder := home.folder(found)).exists():
        aside = f"{home.path}/.{found}.broken"
        raise AlreadyThere(
            f"the environment {found!r} is there already, and is not overwritten",
            why=f"it lies in {folder}",
            mend="name another home (--home DIR), or move that one away: "
            f"mv -T --backup=numbered {shlex.quote(str(folder))} {shlex.quote(aside)}",
            code="environment-exists",
        )


def _check_clock(source: Source, manifest: Manifest, clock: Clock) -> None:
    now, newest = clock(), max(manifest.audit.newest, manifest.made)
    if now < newest - CLOCK_TOLERANCE:
        raise Unavailable(
            f"{source.path} is not restored: the clock of this machine stands before it",
            why=f"it says {when(now)}, and the backup is of {when(newest)}",
            mend="set the clock, then run this again",
            code="clock-went-back",
        )


@contextmanager
def _folder(home: Home, environment: str) -> Iterator[Path]:
    make_private_folder(home.path)
    check_unwritable(home.path)
    part = home.path / f".{environment}.part"
    with hold(home.path / ".init.lock", f"restoring {environment}", wait=PATIENCE):
        if part.exists():
            shutil.rmtree(part)  # what a killed `ca init` or `ca restore` left
        make_private_folder(part)
        try:
            yield part
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


class _Spool:
    """The inventory's file while it comes."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path = path
        self._file = file

    def write(self, data: bytes) -> int:
        """Take all of ``data``."""
        view = memoryview(data)
        with told(self.path, "write"):
            while view:
                view = view[self._file.write(view) :]
        return len(data)

    def finish(self) -> None:
        """All has come: bring it to the disk."""
        with told(self.path, "write"):
            os.fsync(self._file.fileno())
            self._file.close()


@contextmanager
def _spool(path: Path) -> Iterator[_Spool]:
    with told(path, "write"):
        descriptor = make(path, PRIVATE)
    with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 - pathlib opens no descriptor
        yield _Spool(path, file)
