"""The CSR files that `ca sign` was given: which, and what is in them.

Of a folder only ``*.csr`` is read, and no link; no other file beside a CSR is opened. Not here: parsing
(`authority.submit`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from keystead.ca.authority.model import Arrival, Rejected, Submission
from keystead.errors import KeysteadError, NotThere
from keystead.machine.files import read_bounded
from keystead.machine.oserrors import told
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
    with told(path, "read"), os.scandir(path) as entries:
        found = sorted(entry.name for entry in entries if _is_ordinary_csr(entry))
    if not found:
        raise NotThere(
            f"the folder {path} holds no CSR",
            why="only files named *.csr are read there",
            mend="name the file itself if it is called otherwise",
            code="no-csr",
        )
    yield from map(path.joinpath, found)


def _is_ordinary_csr(entry: os.DirEntry[str]) -> bool:
    """A pipe in a folder would hang us, and a link lets whoever may drop files there choose what is read."""
    return entry.name.endswith(".csr") and entry.is_file(follow_symlinks=False)


def read(paths: Iterable[Path], wishes: Wishes) -> Iterator[Arrival]:
    """What is in ``paths``, each read when it is asked for: a submission, or why it cannot be read at all."""
    for path in paths:
        try:
            yield Submission(str(path), read_bounded(path, MAX_OCTETS), wishes)
        except KeysteadError as error:
            yield Rejected(str(path), error)
