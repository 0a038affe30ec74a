"""A new file that is written piece by piece, and has no name until it is whole and durable.

Not here: files that fit into memory (`files`), and what the pieces mean.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path

from keystead.machine.files import PRIVATE, sync_folder
from keystead.machine.leftovers import begin, sweep
from keystead.machine.oserrors import told

_NAMELESS = os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC
_KNOWS_NO_NAMELESS = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})


@contextmanager
def new_file(path: Path, mode: int = PRIVATE) -> Iterator[BufferedWriter]:
    """A file to be written in the body, which is at ``path`` once the body has ended, durably.

    Where the body raises, or is killed, nothing is there. Raises `AlreadyThere` where ``path`` exists, at
    the beginning or meanwhile; an `OSError` of the body is one of writing ``path``.
    """
    with told(path, "write"):
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        sweep(path.parent)
        with _beside(path, mode) as (file, name):
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)  # the umask has taken from the mode that open was given
            os.fsync(file.fileno())
            # A folder's descriptor, which an absolute path ignores, makes Python follow the link in /proc.
            os.link(name, path, src_dir_fd=file.fileno())
        sync_folder(path.parent)


@contextmanager
def _beside(path: Path, mode: int) -> Iterator[tuple[BufferedWriter, str]]:
    """An open file in the folder of ``path``, and what to link it by."""
    try:
        descriptor = os.open(path.parent, _NAMELESS, mode)
    except OSError as error:
        if error.errno not in _KNOWS_NO_NAMELESS:
            raise
        with _hidden(path, mode) as named:
            yield named
        return
    with open(descriptor, "wb") as file:  # noqa: PTH123 - pathlib opens no descriptor
        yield file, f"/proc/self/fd/{descriptor}"


@contextmanager
def _hidden(path: Path, mode: int) -> Iterator[tuple[BufferedWriter, str]]:
    """The same on a file system where every file has a name; a later sweep removes what a kill leaves."""
    descriptor, beside = begin(str(path.absolute().parent), path.name, mode)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - likewise
            yield file, beside
    finally:
        with suppress(FileNotFoundError):
            os.unlink(beside)  # noqa: PTH108 - a name as text
