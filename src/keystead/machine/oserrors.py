"""What the operating system says no with, as keystead's errors: one table from errno to why and mend.

Not here: errors of the network, which `tls` and the file client put into words.
"""

from __future__ import annotations

import errno
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from keystead.errors import AlreadyThere, KeysteadError, NotThere, Unavailable


@dataclass(frozen=True, slots=True)
class _Trouble:
    kind: type[KeysteadError]
    why: str
    mend: str


_DISK_FULL = _Trouble(
    Unavailable, "the disk is full", "make room on that file system, then run the command again"
)
_DENIED = _Trouble(
    Unavailable, "this account has no permission", "run as the owner, or look at: ls -ld {path} {parent}"
)
_TABLE: Mapping[int, _Trouble] = MappingProxyType(
    {
        errno.ENOENT: _Trouble(NotThere, "there is no such file or folder", "look at: ls {parent}"),
        errno.EEXIST: _Trouble(
            AlreadyThere, "it is already there and is not overwritten", "move it away first"
        ),
        errno.ENOTEMPTY: _Trouble(
            AlreadyThere, "the folder is already there and holds files", "move it away first"
        ),
        errno.EACCES: _DENIED,
        errno.EPERM: _DENIED,
        errno.ENOSPC: _DISK_FULL,
        errno.EDQUOT: _Trouble(
            Unavailable, "the disk quota of this account is used up", "remove files or ask for more"
        ),
        errno.EFBIG: _Trouble(
            Unavailable, "the file would grow beyond what is allowed", "look at: ulimit -f"
        ),
        errno.EROFS: _Trouble(
            Unavailable, "the file system is read-only", "name a folder that can be written"
        ),
        errno.EISDIR: _Trouble(Unavailable, "it is a folder, and a file is wanted", "name a file"),
        errno.ENOTDIR: _Trouble(
            Unavailable, "a part of the path is a file, not a folder", "look at: ls -ld {parent}"
        ),
        errno.ELOOP: _Trouble(
            Unavailable, "it is a symbolic link, or links that go in a circle", "name the file itself"
        ),
        errno.ENAMETOOLONG: _Trouble(
            Unavailable, "the name is too long for this file system", "use a shorter path"
        ),
        errno.EMFILE: _Trouble(Unavailable, "too many files are open", "raise the limit: ulimit -n 4096"),
        errno.EIO: _Trouble(Unavailable, "the disk reports an error", "look at: dmesg | tail"),
    }
)


def explain(error: OSError, path: Path, doing: str) -> KeysteadError:
    """The error to raise where ``doing`` ("read", "write", …) to ``path`` failed with ``error``."""
    trouble = _TABLE.get(error.errno or 0)
    if trouble is None:
        return Unavailable(f"cannot {doing} {path}", why=error.strerror or str(error))
    mend = trouble.mend.format(path=shlex.quote(str(path)), parent=shlex.quote(str(path.parent)))
    return trouble.kind(f"cannot {doing} {path}", why=trouble.why, mend=mend)


@contextmanager
def told(path: Path, doing: str) -> Iterator[None]:
    """Any `OSError` of the body is raised as `explain` words it."""
    try:
        yield
    except OSError as error:
        raise explain(error, path, doing) from error
