"""A file written piece by piece is there whole, or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from keystead.errors import AlreadyThere, NotThere, Unavailable
from keystead.machine.newfiles import new_file


@pytest.fixture(params=["nameless", "named"], autouse=True)
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One where files may have no name, and one, such as NFS, where each has one."""
    if request.param == "named":
        real = os.open

        def refusing(path: Any, flags: int, *rest: Any, **more: Any) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            return real(path, flags, *rest, **more)

        monkeypatch.setattr(os, "open", refusing)


def test_it_is_there_with_its_mode_once_the_body_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with new_file(path) as file:
        file.write(b"one, ")
        assert not path.exists()
        file.write(b"two")
    assert path.read_bytes() == b"one, two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_where_the_body_fails_nothing_is_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_file(tmp_path / "file") as file:
        file.write(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_left_and_what_came_meanwhile_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(AlreadyThere), new_file(tmp_path / "file"):
        pytest.fail("there was nothing to write")
    with pytest.raises(AlreadyThere), new_file(tmp_path / "other") as file:
        file.write(b"mine")
        (tmp_path / "other").write_text("theirs")
    assert [(tmp_path / name).read_text() for name in ("file", "other")] == ["old", "theirs"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_link_to_nowhere_is_something_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(AlreadyThere), new_file(tmp_path / "link"):
        pytest.fail("there was nothing to write")
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_is_missing_and_a_disk_that_is_full_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match="nowhere/file"), new_file(tmp_path / "nowhere" / "file"):
        pytest.fail("there was no folder")
    with pytest.raises(Unavailable, match="full"), new_file(tmp_path / "file"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
