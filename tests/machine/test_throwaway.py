"""A throwaway folder is private, and gone afterwards: at an error too, and after a kill with the next one."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest

from keystead.machine import throwaway as module
from keystead.machine.throwaway import throwaway


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Memory and disk, both in the test's own folder."""
    for name in ("memory", "disk"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(module, "_MEMORY", tmp_path / "memory")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "disk"))
    return tmp_path


def test_it_is_private_and_gone_afterwards(places: Path) -> None:
    with throwaway("test", 1) as folder:
        assert folder.parent == places / "memory"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "file").write_text("x")
    assert not folder.exists()


def test_it_is_gone_after_an_error_too(places: Path) -> None:
    with pytest.raises(RuntimeError), throwaway("test", 1) as folder:
        raise RuntimeError
    assert not folder.exists()


def test_what_is_too_large_for_memory_lies_on_the_disk(places: Path) -> None:
    with throwaway("test", 1 << 60) as folder:
        assert folder.parent == places / "disk"


def test_what_a_killed_one_left_is_removed_by_the_next_and_a_running_ones_is_not(places: Path) -> None:
    left = places / "memory" / "keystead-test-left"
    left.mkdir()
    other = places / "memory" / "somebody-elses"
    other.mkdir()
    with throwaway("test", 1) as running, throwaway("test", 1) as folder:
        assert not left.exists()
        assert running.exists()
        assert folder != running
    assert other.exists()
