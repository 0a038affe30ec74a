"""Whether a folder lies on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keystead.machine.mounts import is_near


def mounts(tmp_path: Path, *kinds: str) -> Path:
    device = tmp_path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    lines = ["22 1 0:999 / /elsewhere rw shared:1 - nfs4 server:/ rw"]
    lines += [f"23 1 {number} / /mnt rw,relatime shared:2 master:1 - {kind} /dev/sda1 rw" for kind in kinds]
    file = tmp_path / "mountinfo"
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.mark.parametrize("kind", ["ext4", "xfs", "tmpfs", "overlay"])
def test_a_disk_of_this_machine_is_near(tmp_path: Path, kind: str) -> None:
    assert is_near(tmp_path, mounts(tmp_path, kind))


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p", "ceph", "what-is-to-come", ""])
def test_what_may_be_another_machines_is_far(tmp_path: Path, kind: str) -> None:
    assert not is_near(tmp_path, mounts(tmp_path, kind))


def test_of_two_that_share_a_number_both_must_be_near(tmp_path: Path) -> None:
    assert not is_near(tmp_path, mounts(tmp_path, "ext4", "nfs"))


def test_what_is_not_listed_is_far(tmp_path: Path) -> None:
    assert not is_near(tmp_path, mounts(tmp_path))
    assert not is_near(tmp_path, tmp_path / "nowhere")
    assert not is_near(tmp_path / "nowhere", mounts(tmp_path, "ext4"))


def test_memory_is_near() -> None:
    assert is_near(Path("/dev/shm"))
