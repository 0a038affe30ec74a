"""What has come of a file: found again where it is this account's, and given its name durably."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from keystead.subscriber.fileclient.parts import Part

WHOLE = b"the whole of it"
DIGEST = hashlib.sha256(WHOLE).digest()


def left(path: Path) -> Path:
    """A part with all but the end of it, as a killed `get` leaves it."""
    part = Part.begin(path, DIGEST)
    part.write(WHOLE[:-3])
    part.close()
    (hidden,) = path.parent.glob(".*.part")
    return hidden


def test_what_a_killed_get_left_is_found_but_for_its_last_octet(tmp_path: Path) -> None:
    left(tmp_path / "file")
    part = Part.find(tmp_path / "file")
    assert part is not None
    assert (part.size, part.wanted) == (len(WHOLE) - 4, DIGEST)
    part.close()


def test_what_cannot_be_opened_is_passed_over(tmp_path: Path) -> None:
    # In a folder that several share, anybody may have put something of this name.
    (tmp_path / f".file.{'0' * 64}.part").symlink_to(tmp_path / "elsewhere")
    (tmp_path / f".file.{'1' * 64}.part").mkdir()
    assert Part.find(tmp_path / "file") is None
    left_one = tmp_path / "other"
    left_one.mkdir()
    left(left_one / "file").rename(tmp_path / f".file.{DIGEST.hex()}.part")
    part = Part.find(tmp_path / "file")
    assert part is not None
    part.close()


@pytest.mark.parametrize("overwrite", [False, True])
def test_its_folder_is_synced_after_it_has_got_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, overwrite: bool
) -> None:
    synced: list[bool] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            synced.append((tmp_path / "file").exists())
        fsync(descriptor)

    part = Part.begin(tmp_path / "file", DIGEST)
    part.write(WHOLE)
    monkeypatch.setattr(os, "fsync", noting)
    part.appear(tmp_path / "file", overwrite=overwrite)
    part.close()
    assert synced == [True]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
