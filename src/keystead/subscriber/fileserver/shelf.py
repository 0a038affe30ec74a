"""Where files are kept: a folder for each identity, and in it its files, each visible only whole.

All but `Shelf.open_at_once` blocks on the disk: the app calls it off its loop. Not here: HTTP.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from keystead.errors import Distrusted, KeysteadError, NotThere
from keystead.machine.files import read_bounded, write_new
from keystead.machine.folders import make_private_folder
from keystead.machine.mounts import is_near
from keystead.machine.oserrors import told
from keystead.pki.names import Identity, TrustDomain
from keystead.subscriber.fileserver.conditions import Conditions
from keystead.subscriber.fileserver.digests import Digests
from keystead.subscriber.fileserver.incoming import Incoming, sweep
from keystead.wire.files import Entry, check_file_name, etag_of

_MARK: Final = ".trust-domain"
_SERVERS_OWN_TROUBLE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.EIO, errno.EACCES, errno.ENOMEM})
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A stored file, open for reading; it stays what it is, whatever becomes of its name meanwhile."""

    descriptor: int
    entry: Entry

    @property
    def etag(self) -> str:
        """Its entity tag."""
        return etag_of(self.entry.sha256)

    def close(self) -> None:
        """Let it go."""
        os.close(self.descriptor)


class Shelf:
    """The files of one identity. Its folder is made when the first file comes.

    ``near`` says that it lies on this machine.
    """

    def __init__(self, folder: Path, digests: Digests, lock: threading.Lock, *, near: bool = False) -> None:
        self.folder = folder
        self._digests = digests
        self._lock = lock
        self._near = near

    def prepare(self) -> None:
        """Make the folder."""
        make_private_folder(self.folder)

    def open(self, name: str) -> OpenFile:
        """The file ``name``; raises `NotThere`. All of it is read where its digest is not noted."""
        file = self._opened(name, self._digests.of)
        assert file is not None
        return file

    def open_at_once(self, name: str) -> OpenFile | None:
        """The same for whoever must not wait: None where it may take its time."""
        return self._opened(name, self._digests.recall) if self._near else None

    def _opened(self, name: str, digest_of: Callable[[int], bytes | None]) -> OpenFile | None:
        try:
            descriptor = os.open(self.folder / name, _READ)
        except OSError as error:  # ELOOP and the like: nothing that this server put there
            if error.errno in _SERVERS_OWN_TROUBLE:
                raise
            raise _not_there(name) from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise _not_there(name)
            digest = digest_of(descriptor)
            if digest is None:
                os.close(descriptor)
                return None
            modified = datetime.fromtimestamp(int(status.st_mtime), UTC)
            return OpenFile(descriptor, Entry(name, status.st_size, modified, digest))
        except BaseException:
            os.close(descriptor)
            raise

    def entries(self) -> Iterator[Entry]:
        """All files, sorted by name."""
        try:
            names = sorted(path.name for path in self.folder.iterdir())
        except FileNotFoundError:
            return
        for name in names:
            with suppress(KeysteadError):  # not one of ours, or deleted in this moment
                file = self.open(check_file_name(name))
                file.close()
                yield file.entry

    def check_change(self, name: str, conditions: Conditions) -> None:
        """Raise `BadInput` where ``conditions`` forbid to change the file ``name``."""
        if conditions != Conditions():
            conditions.check_change(self._etag(name))

    def keep(self, file: Incoming, name: str, conditions: Conditions) -> bool:
        """Make ``file`` visible as ``name``, durably; whether there was none of that name before.

        Raises `BadInput` where ``conditions`` forbid it.
        """
        self._digests.remember(file.descriptor, file.digest())
        os.fsync(file.descriptor)
        with self.changing():
            self.check_change(name, conditions)
            is_new = not os.path.lexists(self.folder / name)
            file.path.replace(self.folder / name)
        self._sync()
        return is_new

    def delete(self, name: str, conditions: Conditions) -> None:
        """Remove the file ``name``, durably; raises `NotThere`, and `BadInput` as `keep` does."""
        try:
            with self.changing():
                self.check_change(name, conditions)
                (self.folder / name).unlink()
        except FileNotFoundError:
            raise _not_there(name) from None
        self._sync()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Nobody else changes which files there are, nor another process of the server, for that time."""
        with self._lock:
            descriptor = os.open(self.folder, _FOLDER)
            try:
                with suppress(OSError):  # some network file systems know no locks
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)

    def _etag(self, name: str) -> str | None:
        try:
            file = self.open(name)
        except NotThere:
            return None
        file.close()
        return file.etag

    def _sync(self) -> None:
        descriptor = os.open(self.folder, _FOLDER)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Store:
    """The folder of all uploads, of one trust domain."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._digests = Digests()
        self._lock = threading.Lock()
        self._near = is_near(root)

    def shelf(self, identity: Identity) -> Shelf:
        """The place of ``identity``: PROFILE/NAME, for the trust domain is the whole store's."""
        folder = self.root / identity.profile / identity.name
        return Shelf(folder, self._digests, self._lock, near=self._near)


def open_store(root: Path, trust_domain: TrustDomain) -> Store:
    """The store in the folder ``root``, which is made where it is missing; what was left half is swept.

    Raises `Distrusted` where the files there belong to another environment, and `Unavailable` where the
    folder cannot be used.
    """
    make_private_folder(root)
    mark = root / _MARK
    try:
        owner = read_bounded(mark, 1024).decode("utf-8", "replace").strip()
    except NotThere:
        write_new(mark, f"{trust_domain}\n".encode())
        owner = str(trust_domain)
    if owner != str(trust_domain):
        raise Distrusted(
            f"{root} holds the files of another environment",
            why=f"they are {owner}'s, and this server is of {trust_domain}",
            mend="name another folder: --uploads DIR",
            code="foreign-domain",
        )
    with told(root, "sweep"):
        for folder in root.glob("*/*/"):
            sweep(folder)
    return Store(root)


def _not_there(name: str) -> NotThere:
    return NotThere(
        f"there is no file {name!r} of yours on the server",
        mend="look at what there is: keystead ls",
        code="no-such-file",
    )
