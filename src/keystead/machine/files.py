"""Files read within bounds, and written whole: with their final permissions from birth, durable, atomic.

Not here: what the bytes mean, and which folder things belong into. Every `OSError` comes out as one of
`keystead.errors`, naming the path and a mend.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from contextlib import suppress
from pathlib import Path

from keystead.errors import BadInput, Unavailable
from keystead.machine.leftovers import begin, make, sweep
from keystead.machine.oserrors import explain, told

PRIVATE = 0o600
PUBLIC = 0o644
PRIVATE_FOLDER = 0o700

_OTHERS = stat.S_IRWXO | stat.S_IWGRP
_SYNCED_ONE_BY_ONE = 32
_PIECE = 64 * 1024
_READ = os.O_RDONLY | os.O_CLOEXEC
_NAMELESS = os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC
_KNOWS_NO_NAMELESS = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})


def read_bounded(path: Path, limit: int) -> bytes:
    """The whole of ``path``, which must be at most ``limit`` bytes; `BadInput` where it is more.

    Pipes are read too, so that ``<(command)`` can stand for a file.
    """
    # Told without the context manager, and opened without a file object: thousands are read in a batch.
    try:
        descriptor = os.open(path, _READ)
        try:
            return _read(descriptor, path, limit)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise explain(error, path, "read") from error


def read_private(path: Path, limit: int) -> bytes:
    """As `read_bounded`, for what must be secret: `Unavailable` where other accounts may read or write it.

    Group-readable is let through: a group is given on purpose (Debian's ``ssl-cert``, systemd's access
    lists). The open file is checked, not its name, so that it cannot be exchanged in between.
    """
    with told(path, "read"), path.open("rb", buffering=0) as file:
        _check_mode(os.fstat(file.fileno()), path)
        return _read(file.fileno(), path, limit)


def check_private(path: Path) -> None:
    """Raise `Unavailable` where other accounts may read or write the file at ``path``."""
    with told(path, "read"):
        _check_mode(path.stat(), path)


def check_unwritable(path: Path) -> None:
    """Raise `Unavailable` where other accounts may write the file or folder at ``path``."""
    with told(path, "read"):
        mode = path.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Unavailable(
            f"{path} is not trusted: other accounts of this machine can change it",
            why=f"its mode is {stat.S_IMODE(mode):04o}",
            mend=f"see who changed it and what, then: chmod go-w {shlex.quote(str(path))}",
            code="not-private",
        )


def _check_mode(status: os.stat_result, path: Path) -> None:
    if stat.S_ISREG(status.st_mode) and status.st_mode & _OTHERS:
        raise Unavailable(
            f"{path} is not used: other accounts of this machine can get at it",
            why=f"its mode is {stat.S_IMODE(status.st_mode):04o}, and what it holds must be secret",
            mend=f"chmod 600 {shlex.quote(str(path))}",
            code="not-private",
        )


def _read(descriptor: int, path: Path, limit: int) -> bytes:
    data = bytearray()
    while len(data) <= limit:
        piece = os.read(descriptor, min(limit + 1 - len(data), _PIECE))
        if not piece:
            return bytes(data)
        data += piece
    raise BadInput(
        f"{path} is too large",
        why=f"at most {limit:,} bytes are read here",
        mend="check that this is the file you mean",
        code="too-large",
    )


def write_new(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Make ``path``, which must not exist (`AlreadyThere`), a symbolic link included; durable on return."""
    with told(path, "write"):
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        _give_birth(path, data, mode)
        sync_folder(path.parent)


def write_atomic(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Put ``data`` at ``path``, over whatever is there: all of it or nothing, durable on return."""
    with told(path, "write"):
        sweep(path.parent)
        _replace(path, data, mode, sync=True)
        sync_folder(path.parent)


class ManyFiles:
    """Many files put in place one by one, each whole or not at all; all of them durable once `sync` returns.

    Beyond a few there is one sync at the end instead of one a file, which is ten times faster; a crash
    before that may lose files, so put here only what can be written again.
    """

    def __init__(self, mode: int = PUBLIC) -> None:
        self._mode = mode
        self._folders: set[str] = set()
        self._count = 0

    def put(self, path: str | Path, data: bytes) -> None:
        """Put ``data`` at ``path``, over whatever is there."""
        self._count += 1
        folder = os.path.dirname(path) or "."  # noqa: PTH120 - of ten thousand paths, text is quicker
        if folder not in self._folders:
            sweep(folder)
        sync = self._count <= _SYNCED_ONE_BY_ONE
        try:
            if not _appear(folder, path, data, self._mode, sync=sync):
                _replace(path, data, self._mode, sync=sync)
        except OSError as error:
            raise explain(error, Path(path), "write") from error
        self._folders.add(folder)

    def sync(self) -> None:
        """Bring all of it to the disk."""
        if self._count > _SYNCED_ONE_BY_ONE:
            os.sync()
            return
        for folder in self._folders:
            with told(Path(folder), "write"):
                sync_folder(Path(folder))


def move_file(old: Path, new: Path) -> None:
    """Give the file ``old`` the name ``new`` in the same folder, over whatever has it; durable on return."""
    with told(old, "rename"):
        old.replace(new)
        sync_folder(new.parent)


def move_folder(old: Path, new: Path) -> None:
    """Give the folder ``old`` its final name, durably; `AlreadyThere` where ``new`` holds anything."""
    with told(new, "make"):
        old.rename(new)
        sync_folder(new.parent)


def _give_birth(path: Path, data: bytes, mode: int) -> None:
    """Make ``path``, which must not exist."""
    if not _appear(str(path.parent), path, data, mode, sync=True):
        _write_exclusively(path, data, mode)


def _appear(folder: str, path: str | Path, data: bytes, mode: int, *, sync: bool) -> bool:
    """Make ``path`` whole at once: the file has no name until then, so that a kill leaves nothing.

    False where that cannot be done here: the name is taken, or the file system knows no nameless files.
    """
    try:
        descriptor = os.open(folder, _NAMELESS, mode)
    except OSError as error:
        if error.errno not in _KNOWS_NO_NAMELESS:
            raise
        return False
    try:
        _fill(descriptor, data, mode, sync=sync)
        # A folder's descriptor, which an absolute path ignores, makes Python follow the link in /proc.
        os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor)
    except (FileExistsError, FileNotFoundError):  # without /proc the second
        return False
    finally:
        os.close(descriptor)
    return True


def _replace(path: str | Path, data: bytes, mode: int, *, sync: bool) -> None:
    # Plain strings: of ten thousand files, pathlib would be the larger half of the work.
    folder, name = os.path.split(path)
    descriptor, beside = begin(folder, name, mode)
    try:
        _fill(descriptor, data, mode, sync=sync)
        os.replace(beside, path)  # noqa: PTH105 - while it is locked, so that no sweep takes it
    except BaseException:
        _remove(beside)
        raise
    finally:
        os.close(descriptor)


def _write_exclusively(path: Path, data: bytes, mode: int) -> None:
    descriptor = make(path, mode)
    try:
        _fill(descriptor, data, mode, sync=True)
    except BaseException:
        _remove(path)
        raise
    finally:
        os.close(descriptor)


def _fill(descriptor: int, data: bytes, mode: int, *, sync: bool) -> None:
    os.fchmod(descriptor, mode)  # the umask has taken from the mode that open was given
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    if sync:
        os.fsync(descriptor)


def _remove(path: str | Path) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - likewise


def sync_folder(folder: Path) -> None:
    """Bring the names in ``folder`` to the disk; raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
