"""What kind of file system a folder lies on: whether opening a file there may wait for another machine.

Not here: how full it is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_NEAR: Final = frozenset({"btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"})
"""File systems of this machine's own disks and memory, as the kernel names them."""

_MOUNTS: Final = Path("/proc/self/mountinfo")


def is_near(folder: Path, mounts: Path = _MOUNTS) -> bool:
    """Whether ``folder`` lies on this machine for certain: what is unknown, or not to be told, is far.

    ``mounts`` lists the mounted file systems (proc(5), "mountinfo").
    """
    try:
        device = folder.stat().st_dev
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    kinds = {_kind(line) for line in lines if line.split()[2:3] == [number]}
    return bool(kinds) and kinds <= _NEAR


def _kind(line: str) -> str:
    """The type comes after the optional fields, which a lone hyphen ends."""
    return line.partition(" - ")[2].partition(" ")[0]
