"""The CSR files that `ca sign` was given: which, and what is in them.

Of a folder only ``*.csr`` is read, and no link; no other file beside a CSR is opened. Not here: parsing
(`authority.submit`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from keystead.ca.authority.model import Rejected, Submission
from keystead.errors import KeysteadError, NotThere
from keystead.machine.files import read_bounded
from keystead.pki.csr import MAX_CSR_OCTETS
from keystead.pki.facts import Wishes

MAX_OCTETS = 4 * MAX_CSR_OCTETS
"""Of one file: room for a CSR with the text that openssl prints before it, and for a key that is refused."""


def find(paths: Iterable[Path]) -> list[Path]:
    """The CSR files that ``paths`` name, each once, a folder's in the order of their names.

    Raises `NotThere` for a path that does not exist and for a folder without a CSR.
    """
    return list(dict.fromkeys(found for path in paths for found in _files(path)))


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        if not path.exists():
            raise NotThere(
                f"there is no file {path}",
                mend="name the CSR that the subscriber sent, or a folder of them",
                code="no-csr",
            )
        yield path
        return
    found = sorted(file for file in path.glob("*.csr") if _is_ordinary(file))
    if not found:
        raise NotThere(
            f"the folder {path} holds no CSR",
            why="only files named *.csr are read there",
            mend="name the file itself if it is called otherwise",
            code="no-csr",
        )
    yield from found


def _is_ordinary(file: Path) -> bool:
    """A pipe in a folder would hang us, and a link lets whoever may drop files there choose what is read."""
    return file.is_file() and not file.is_symlink()


def read(paths: Sequence[Path], wishes: Wishes) -> tuple[list[Submission], list[Rejected]]:
    """The submissions in ``paths``, and those files that cannot be read at all."""
    submissions: list[Submission] = []
    unreadable: list[Rejected] = []
    for path in paths:
        try:
            submissions.append(Submission(str(path), read_bounded(path, MAX_OCTETS), wishes))
        except KeysteadError as error:
            unreadable.append(Rejected(str(path), error))
    return submissions, unreadable
