"""The lock on a file: one holder, a deadline, and who it is."""

from __future__ import annotations

import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from keystead.errors import NotThere, Unavailable
from keystead.machine.locks import hold, try_lock

AT_ONCE = timedelta(0)


def test_who_waits_too_long_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with hold(lock, "ca init of dev"), pytest.raises(Unavailable) as raised, hold(lock, "x", wait=AT_ONCE):
        pass
    assert f"process {os.getpid()}: ca init of dev" in raised.value.why


def test_a_lock_that_was_let_go_is_had_at_once(tmp_path: Path) -> None:
    for purpose in ("a long purpose", "short"):
        with hold(tmp_path / "lock", purpose, wait=AT_ONCE):
            assert (tmp_path / "lock").read_text().endswith(f": {purpose}")


def test_a_lock_is_let_go_where_the_body_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), hold(tmp_path / "lock", "x"):
        raise RuntimeError
    with hold(tmp_path / "lock", "y", wait=AT_ONCE):
        pass


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        manager = hold(tmp_path / "lock", "a process that is killed")
        manager.__enter__()
        os.write(writer, b"x")
        os._exit(0)
    os.read(reader, 1)
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)
    with hold(tmp_path / "lock", "y", wait=AT_ONCE):
        pass


def test_the_lock_file_is_private_and_never_a_link(tmp_path: Path) -> None:
    with hold(tmp_path / "lock", "x"):
        assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "lock")
    with pytest.raises(Unavailable, match="symbolic link"), hold(tmp_path / "link", "x"):
        pass
    with pytest.raises(NotThere), hold(tmp_path / "gone" / "lock", "x"):
        pass


def test_a_pipe_is_no_lock(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(Unavailable, match="lock"), hold(tmp_path / "lock", "x", wait=AT_ONCE):
        pass


def test_an_open_file_is_locked_by_one_until_it_is_closed(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as first, (tmp_path / "file").open("rb") as second:
        assert try_lock(first.fileno())
        assert not try_lock(second.fileno())
        first.close()
        assert try_lock(second.fileno())
