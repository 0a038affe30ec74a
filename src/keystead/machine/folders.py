"""Folders that keystead makes, private and kept out of git; and the same for keys put into other folders.

Not here: the files in them (`files`).
"""

from __future__ import annotations

from pathlib import Path

from keystead.errors import AlreadyThere, Unavailable
from keystead.machine.files import PRIVATE_FOLDER, PUBLIC, write_new
from keystead.machine.gitignore import GITIGNORE, is_ignored
from keystead.machine.oserrors import told


def make_private_folder(path: Path) -> None:
    """Make ``path`` and what is missing above it: mode 0700, each with a ``.gitignore`` of ``*``.

    A folder that exists is left as it is.
    """
    with told(path, "make"):
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        _make(folder)
    if not path.is_dir():
        raise Unavailable(
            f"cannot use {path} as a folder", why="a file has that name", mend="name another folder"
        )


def _make(folder: Path) -> None:
    with told(folder, "make"):
        try:
            folder.mkdir(PRIVATE_FOLDER)
        except FileExistsError:
            return  # another process was quicker
        folder.chmod(PRIVATE_FOLDER)  # the umask may have taken more than it should
    write_new(folder / GITIGNORE, b"*\n", PUBLIC)


def keep_out_of_git(key: Path) -> str:
    """Call before the key file ``key`` is written: a warning for the user, or "" where all is well.

    A folder without a ``.gitignore`` gets one that keeps keys out; one that is there stays as it is, and
    the warning says that it would let the key through.
    """
    gitignore = key.parent / GITIGNORE
    pattern = "*.key.age" if key.name.endswith(".age") else "*.key"
    try:
        write_new(gitignore, f"{pattern}\n".encode(), PUBLIC)
    except AlreadyThere:
        if not is_ignored(key):
            return (
                f"{gitignore} lets {key.name} into git, and a key that was committed counts as stolen; "
                f"add the line: {pattern}"
            )
    return ""
