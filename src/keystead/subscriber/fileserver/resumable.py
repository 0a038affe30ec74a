"""Uploads that may be gone on with: their octets and what is known of them, on the disk and nowhere else.

So they outlive a server that is killed, and several of its processes may share them: whoever changes an
upload holds the lock on its octets, which the kernel drops with the process. Everything here blocks. Not
here: HTTP (`tus`), and the files that have become visible (`shelf`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from keystead.errors import BadInput, KeysteadError, NotThere, Unavailable
from keystead.machine.clock import Clock, system_clock
from keystead.machine.files import PRIVATE, write_atomic, write_new
from keystead.machine.folders import make_private_folder
from keystead.machine.leftovers import make
from keystead.machine.locks import try_lock
from keystead.subscriber.fileserver.conditions import Conditions
from keystead.subscriber.fileserver.digests import hash_of
from keystead.subscriber.fileserver.incoming import Incoming
from keystead.subscriber.fileserver.shelf import Shelf
from keystead.subscriber.fileserver.states import FOLDER, Found, State, noted, paths, read_state, unfinished
from keystead.wire.files import etag_of
from keystead.wire.tus import MAX_UPLOADS, Checksum, Pending

_OLD: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class Held:
    """An upload that nobody else may change until `close`."""

    def __init__(self, folder: Path, upload_id: str, descriptor: int, state: State) -> None:
        self.id = upload_id
        self.state = state
        size = os.lseek(descriptor, 0, os.SEEK_END)
        octets, self._noted = paths(folder, upload_id)
        self.file = Incoming(octets, descriptor, size, hashlib.sha256() if size == 0 else None)

    @property
    def is_whole(self) -> bool:
        """Whether all has come."""
        return self.file.size == self.state.length

    def check_prefix(self, conditions: Conditions) -> None:
        """Raise `BadInput` unless what is there is what If-Match names: its SHA-256, as of any file here.

        So a client makes sure that it goes on with its own file and not with an older one. What is there is
        read for that, and need not be read again at the end.
        """
        if conditions.if_match is not None:
            running = hash_of(self.file.descriptor, self.file.size)
            conditions.check_match(etag_of(running.digest()))
            self.file = Incoming(self.file.path, self.file.descriptor, self.file.size, running)

    def begin_checked(self, checks: Sequence[Checksum]) -> None:
        """What comes now must pass ``checks``: unless it arrives whole, it never came."""
        # Each algorithm once: a head has room for hundreds of checksums.
        algorithms = {check.algorithm for check in checks}
        self.file.also = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        self._note(replace(self.state, floor=self.file.size))

    def end_checked(self, checks: Sequence[Checksum]) -> None:
        """Take what came, or raise `BadInput` where it does not pass ``checks``."""
        digests = {name: hasher.digest() for name, hasher in self.file.also.items()}
        for check in checks:
            digest = digests[check.algorithm]
            if digest != check.digest:
                raise BadInput(
                    "this part of the file did not arrive as it was sent",
                    why=f"its {check.algorithm} was to be {check.digest.hex()}, and it is {digest.hex()}",
                    mend="send this part again",
                    code="checksum-mismatch",
                )
        self._note(replace(self.state, floor=None))

    def sync(self) -> None:
        """Bring what came to the disk."""
        os.fdatasync(self.file.descriptor)

    def keep(self, shelf: Shelf) -> None:
        """Make it visible; raises `BadInput`, and then it is gone, where it is not what it was to be."""
        try:
            for wanted in (*self.state.digests, *([self.state.kept] if self.state.kept else [])):
                self.file.check(wanted)
        except BadInput:
            self.remove()
            raise
        self.sync()
        # From here on a kill is made good by whoever asks for the upload next.
        self._note(replace(self.state, floor=None, kept=self.file.digest()))
        shelf.keep(self.file, self.state.name, Conditions())

    def remove(self) -> None:
        """Remove it."""
        self.state = replace(self.state, floor=None)
        self._noted.unlink(missing_ok=True)
        self.file.discard()

    def close(self) -> None:
        """Let others have it; what came of a body with a checksum, and was not taken, goes."""
        if self.state.floor is not None:
            with suppress(OSError, KeysteadError):  # whoever takes it next does the same
                os.ftruncate(self.file.descriptor, self.state.floor)
                self._note(replace(self.state, floor=None))
        self.file.close()

    def _note(self, state: State) -> None:
        write_atomic(self._noted, state.to_json())
        self.state = state


class Uploads:
    """The uploads of one identity, below ``place``, where its files are. The folder comes with the first."""

    def __init__(self, place: Path, expiry: timedelta, clock: Clock = system_clock) -> None:
        self._folder = place / FOLDER
        self._expiry = expiry
        self._clock = clock

    def create(self, state: State) -> Held:
        """A new upload; raises `Unavailable` where there are too many."""
        make_private_folder(self._folder)
        self._forget_finished()
        if len(unfinished(self._folder)) >= MAX_UPLOADS:
            raise Unavailable(
                "there are too many unfinished uploads",
                why=f"this server keeps {MAX_UPLOADS:,} of an identity",
                mend="finish or delete some (GET /tus/ lists them), or wait until they expire",
                code="too-many-uploads",
            )
        upload_id = secrets.token_hex(16)
        octets, noted_at = paths(self._folder, upload_id)
        descriptor = make(octets, PRIVATE)
        try:
            with suppress(OSError):  # some network file systems know no locks
                # Which waits, for a list may look at it in this moment.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            write_new(noted_at, state.to_json())
            return Held(self._folder, upload_id, descriptor, state)
        except BaseException:
            os.close(descriptor)
            octets.unlink(missing_ok=True)
            raise

    def find(self, upload_id: str) -> Found:
        """The upload of that id as it is now; raises `NotThere`, also where it has expired."""
        found = self._look(upload_id)
        if found is None or found.expires <= self._clock():
            raise NotThere(
                "there is no such upload of yours on the server",
                why="it was deleted, it has expired, or there never was one",
                mend="create another: POST /tus/",
                code="no-such-upload",
            )
        return found

    def take(self, upload_id: str) -> Held | None:
        """The upload, to be changed; None where somebody else has it, or it is gone or finished meanwhile."""
        octets, noted_at = paths(self._folder, upload_id)
        try:
            descriptor = os.open(octets, _OLD)
        except FileNotFoundError:
            return None
        try:
            state = read_state(noted_at) if try_lock(descriptor) and _is_still(octets, descriptor) else None
            if state is None:
                os.close(descriptor)
                return None
            if state.floor is not None:  # its server was killed in mid-body
                os.ftruncate(descriptor, state.floor)
                state = replace(state, floor=None)
                write_atomic(noted_at, state.to_json())
            return Held(self._folder, upload_id, descriptor, state)
        except BaseException:
            os.close(descriptor)
            raise

    def forget(self, upload_id: str) -> None:
        """Remove what is known of an upload that is finished; its file stays."""
        paths(self._folder, upload_id)[1].unlink(missing_ok=True)

    def pending(self) -> Iterator[Pending]:
        """Those that are not finished."""
        now = self._clock()
        for upload_id in sorted(unfinished(self._folder)):
            found = self._look(upload_id)
            if found is not None and not found.is_kept and found.expires > now:
                state, is_busy = found.state, self._is_busy(upload_id)
                yield Pending(upload_id, state.name, state.length, found.offset, found.expires, is_busy)

    def sweep(self) -> int:
        """Remove the expired ones, and what a killed server left beside them; how many they were."""
        removed = 0
        for upload_id in unfinished(self._folder) | noted(self._folder):  # one may be there without the other
            with suppress(OSError):  # one that cannot be removed is no reason to keep the others
                removed += self._remove_if_expired(upload_id)
        return removed

    def _forget_finished(self) -> None:
        """Of very many that were finished lately, only the newer half is still told about."""
        finished = noted(self._folder) - unfinished(self._folder)
        if len(finished) >= MAX_UPLOADS:
            for upload_id in sorted(finished, key=self._last_noted)[: MAX_UPLOADS // 2]:
                self.forget(upload_id)

    def _last_noted(self, upload_id: str) -> float:
        """In Unix seconds; long ago where it is gone meanwhile."""
        status = _status(paths(self._folder, upload_id)[1])
        return status.st_mtime if status is not None else 0.0

    def _look(self, upload_id: str) -> Found | None:
        octets, noted_at = paths(self._folder, upload_id)
        state, status = read_state(noted_at), _status(octets)
        if status is None:  # finished, perhaps in this moment; or gone
            state = read_state(noted_at)
        began = _status(noted_at)
        if state is None or began is None or (status is None and state.kept is None):
            return None
        if status is None:
            return Found(upload_id, state, state.length, _moment(began) + self._expiry, is_kept=True)
        offset = status.st_size if state.floor is None else min(status.st_size, state.floor)
        last = max(_moment(status), _moment(began))
        return Found(upload_id, state, offset, last + self._expiry, is_kept=False)

    def _is_busy(self, upload_id: str) -> bool:
        with suppress(OSError):
            descriptor = os.open(paths(self._folder, upload_id)[0], _OLD)
            try:
                return not try_lock(descriptor)
            finally:
                os.close(descriptor)
        return True

    def _has_expired(self, upload_id: str) -> bool:
        found = map(_status, paths(self._folder, upload_id))
        moments = [_moment(status) for status in found if status is not None]
        return bool(moments) and max(moments) + self._expiry <= self._clock()

    def _remove_if_expired(self, upload_id: str) -> bool:
        octets, noted_at = paths(self._folder, upload_id)
        if not self._has_expired(upload_id):
            return False
        with suppress(FileNotFoundError):
            descriptor = os.open(octets, _OLD)
            try:
                # Until it was locked, somebody may have gone on with it.
                if not try_lock(descriptor) or not self._has_expired(upload_id):
                    return False
                noted_at.unlink(missing_ok=True)
                octets.unlink(missing_ok=True)
            finally:
                os.close(descriptor)
        noted_at.unlink(missing_ok=True)
        return True


def sweep_all(root: Path, expiry: timedelta) -> int:
    """Remove the expired uploads of everybody below ``root``; how many they were."""
    return sum(Uploads(folder.parent, expiry).sweep() for folder in root.glob(f"*/*/{FOLDER}/"))


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _moment(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, UTC)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the open file has the name ``path``: before it was locked it may have lost it."""
    status, named = os.fstat(descriptor), _status(path)
    return named is not None and (named.st_dev, named.st_ino) == (status.st_dev, status.st_ino)
