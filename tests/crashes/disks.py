"""File systems that a test can fill and lock."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_ROOMY = "size=64m"


@dataclass(frozen=True)
class Disk:
    """A file system of its own, which a test can fill and lock."""

    path: Path

    def change(self, options: str) -> None:
        """Mount it anew with other options."""
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True)

    def fill(self, leaving: int) -> None:
        """Leave ``leaving`` octets free."""
        with (self.path / "ballast").open("wb") as file:
            status = os.statvfs(self.path)
            file.write(bytes(max(0, status.f_bavail * status.f_frsize - leaving)))

    def empty(self) -> None:
        """Give the room back."""
        (self.path / "ballast").unlink()


@contextmanager
def mounted(path: Path) -> Iterator[Disk]:
    """A small file system in memory at ``path``, which is made; skipped where none can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system of its own")
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", _ROOMY, "tmpfs", str(path)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
