"""How much is taken: from one upload, for one identity, and of the disk. The limits, and the ledger.

Not here: limits of connections and of request heads, which are the engine's (`web.limits`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from keystead.errors import Unavailable
from keystead.subscriber.fileserver.promises import Promise, counting
from keystead.subscriber.fileserver.states import reserved_octets

GIB: Final = 1 << 30

_STEP: Final = 16 << 20
"""Octets that are taken between two looks at the disk."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """In octets: one file, all files of an identity (None: no limit), and what stays free on the disk.

    ``expiry``: how long an upload that does not get on is kept.
    """

    file: int = 16 * GIB
    quota: int | None = None
    spare: int = GIB
    expiry: timedelta = timedelta(hours=24)


def free_octets(folder: Path) -> int:
    """What the file system of ``folder`` has left for an ordinary account."""
    return shutil.disk_usage(folder).free


def used_octets(folder: Path) -> int:
    """What the visible files of ``folder`` take, and what its unfinished uploads will."""
    try:
        with os.scandir(folder) as found:
            return reserved_octets(folder) + sum(
                entry.stat(follow_symlinks=False).st_size for entry in found if not entry.name.startswith(".")
            )
    except FileNotFoundError:
        return 0


class Ledger:
    """What is being received at this moment, so that uploads side by side cannot exceed a quota together.

    Its methods may be called from any thread, and other processes may have ledgers of the same folders.
    """

    def __init__(self, limits: UploadLimits, free: Callable[[Path], int] = free_octets) -> None:
        self.limits = limits
        self._free = free

    @contextmanager
    def admission(self, folder: Path) -> Iterator[Admission]:
        """Room for one upload into ``folder``, for the time of the body."""
        admission = Admission(self, folder)
        try:
            yield admission
        finally:
            admission.end()

    def continuation(self, folder: Path, offset: int, length: int) -> Admission:
        """The admission of the rest of an upload of ``length`` octets, which is counted as taken already.

        Raises `Unavailable` where it is not taken any more.
        """
        admission = Admission(self, folder, offset, promised=length)
        admission.check_size(length)
        self.check_disk(folder, length - offset)
        return admission

    def check_disk(self, folder: Path, octets: int) -> None:
        """Raise `Unavailable` where ``octets`` more would leave less free than is to be spared."""
        if self._free(folder) - octets < self.limits.spare:
            raise Unavailable(
                "the server has no room for this file",
                why=f"less than {self.limits.spare:,} octets of its disk would be left",
                mend="tell whoever runs the server, or send it later",
                code="disk-full",
            )


class Admission:
    """One upload's way through the limits: `expect` what is announced, `grow` by what comes."""

    def __init__(self, ledger: Ledger, folder: Path, received: int = 0, promised: int = 0) -> None:
        self._ledger = ledger
        self._folder = folder
        self._received = received
        self._looked = received
        self.promised = promised
        self._promise_on_disk: Promise | None = None

    def expect(self, length: int) -> None:
        """Raise `Unavailable` where a file of ``length`` octets is not taken."""
        self.check_size(length)
        self._promise(length, length)
        self._ledger.check_disk(self._folder, length)

    def grow(self, octets: int) -> None:
        """Take ``octets`` more; raise `Unavailable` where that is too much."""
        self._received += octets
        self.check_size(self._received)
        lacking = self._received - self.promised
        if lacking > 0:
            self._promise(lacking, max(lacking, _STEP))
        if self._received - self._looked >= _STEP:
            self._looked = self._received
            self._ledger.check_disk(self._folder, 0)

    def _promise(self, least: int, most: int) -> None:
        """Count as taken what the quota has, up to ``most``; `Unavailable` where that is not ``least``."""
        quota = self._ledger.limits.quota
        if quota is None:
            self.promised += most
            return
        with counting(self._folder) as promised:
            taken = used_octets(self._folder) + promised
            if taken + least > quota:
                raise Unavailable(
                    "the quota of this identity is used up",
                    why=f"{taken:,} of {quota:,} octets are taken (a replaced file counts until it is)",
                    mend="delete files that are no longer needed, or ask for a larger quota (serve --quota)",
                    code="quota-used-up",
                )
            self.promised += min(most, quota - taken)
            self._promise_on_disk = self._promise_on_disk or Promise(self._folder)
            self._promise_on_disk.write(self.promised)

    def end(self) -> None:
        """Give back what was promised."""
        if self._promise_on_disk is not None:
            self._promise_on_disk.close()

    def check_size(self, octets: int) -> None:
        """Raise `Unavailable` where a file of ``octets`` is too large."""
        if octets > self._ledger.limits.file:
            raise Unavailable(
                "the file is too large",
                why=f"this server takes at most {self._ledger.limits.file:,} octets in one file",
                mend="send it in parts, or ask for a larger limit (serve --max-file)",
                code="too-large",
            )
