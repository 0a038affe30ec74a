"""Files: bounded reads, private births, whole writes."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystead.errors import AlreadyThere, BadInput, KeysteadError, NotThere, Unavailable
from keystead.machine import files


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def failing_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("final", [0o600, 0o644])
def test_a_new_file_has_its_final_mode_whatever_the_umask(tmp_path: Path, final: int) -> None:
    files.write_new(tmp_path / "new", b"x", final)
    files.write_atomic(tmp_path / "atomic", b"x", final)
    assert (mode(tmp_path / "new"), mode(tmp_path / "atomic")) == (final, final)


def test_a_private_file_is_never_open_to_others_for_an_instant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    opened = os.open

    def spy(path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = opened(path, flags, mode)
        if flags & os.O_CREAT or flags & os.O_TMPFILE == os.O_TMPFILE:
            seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", spy)
    before = os.umask(0)
    try:
        files.write_new(tmp_path / "a.key", b"secret")
        files.write_atomic(tmp_path / "b.key", b"secret")
    finally:
        os.umask(before)
    assert seen == [0o600, 0o600]


def test_a_new_file_is_written_over_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.key").write_text("old")
    with pytest.raises(AlreadyThere, match=r"a\.key"):
        files.write_new(tmp_path / "a.key", b"new")
    assert (tmp_path / "a.key").read_text() == "old"


def test_a_new_file_is_not_written_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "a.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AlreadyThere):
        files.write_new(tmp_path / "a.key", b"new")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.usefixtures("failing_fsync")
def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a.crt").write_text("old")
    with pytest.raises(Unavailable, match="disk is full"):
        files.write_atomic(tmp_path / "a.crt", b"new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.crt", "old")]


@pytest.mark.usefixtures("failing_fsync")
def test_a_new_file_that_cannot_be_finished_is_taken_away_again(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        files.write_new(tmp_path / "a.key", b"new")
    assert list(tmp_path.iterdir()) == []


def test_where_no_file_can_be_without_a_name_a_new_one_is_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def refuse(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    files.write_new(tmp_path / "a.key", b"x")
    assert ((tmp_path / "a.key").read_bytes(), mode(tmp_path / "a.key")) == (b"x", 0o600)
    with pytest.raises(AlreadyThere):
        files.write_new(tmp_path / "a.key", b"y")


def test_a_rename_that_is_interrupted_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(source: str, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomic(tmp_path / "a.crt", b"new")
    assert list(tmp_path.iterdir()) == []


def test_an_atomic_write_replaces_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.crt").write_text("old and longer")
    files.write_atomic(tmp_path / "a.crt", b"new", 0o644)
    assert (tmp_path / "a.crt").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.crt"]


@pytest.mark.parametrize("count", [0, 1, 3, 100])
def test_many_files_are_written_whole_and_public(tmp_path: Path, count: int) -> None:
    many = files.ManyFiles()
    for i in range(count):
        many.put(tmp_path / f"{i}.crt", b"%d" % i)
    many.sync()
    found = {p.name: (p.read_bytes(), mode(p)) for p in tmp_path.iterdir()}
    assert found == {f"{i}.crt": (b"%d" % i, 0o644) for i in range(count)}


def test_many_files_are_made_durable_by_one_sync_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("fsync"))
    monkeypatch.setattr(os, "sync", lambda: calls.append("sync"))
    many = files.ManyFiles()
    for i in range(500):
        many.put(tmp_path / f"{i}.crt", b"x")
    many.sync()
    assert calls[-1] == "sync"
    assert len(calls) < 50


def test_a_read_stops_at_its_bound(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 11)
    assert files.read_bounded(tmp_path / "f", 11) == b"x" * 11
    with pytest.raises(BadInput, match="too large"):
        files.read_bounded(tmp_path / "f", 10)


def test_an_endless_file_is_read_no_further_than_its_bound() -> None:
    with pytest.raises(BadInput, match="too large"):
        files.read_bounded(Path("/dev/zero"), 1 << 16)


def test_a_pipe_can_stand_for_a_file(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"from a command")
    os.close(writer)
    try:
        assert files.read_private(Path(f"/dev/fd/{reader}"), 100) == b"from a command"
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    ("found", "private"),
    [(0o600, True), (0o400, True), (0o640, True), (0o644, False), (0o660, False), (0o601, False)],
)
def test_a_secret_that_others_can_get_at_is_refused(tmp_path: Path, found: int, private: bool) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(found)
    if private:
        assert files.read_private(path, 10) == b"x"
        files.check_private(path)
        return
    with pytest.raises(Unavailable, match="chmod 600"):
        files.read_private(path, 10)
    with pytest.raises(Unavailable, match="chmod 600"):
        files.check_private(path)


@pytest.mark.parametrize(
    ("attempt", "kind", "said"),
    [
        (lambda d: files.read_bounded(d / "missing", 1), NotThere, "no such file"),
        (lambda d: files.read_bounded(d, 1), Unavailable, "it is a folder"),
        (lambda d: files.read_bounded(d / "file" / "x", 1), Unavailable, "is a file, not a folder"),
        (lambda d: files.write_atomic(d / "missing" / "x", b""), NotThere, "no such file or folder"),
        (lambda d: files.write_atomic(d, b""), Unavailable, "it is a folder"),
        (lambda d: files.write_new(d / ("x" * 300), b""), Unavailable, "too long"),
        (lambda d: files.move_folder(d / "one", d / "two"), AlreadyThere, "already there"),
        (lambda d: files.read_bounded(Path("/proc/self/mem"), 1), Unavailable, "error"),
    ],
)  # fmt: skip
def test_what_the_system_says_no_with_becomes_an_error_with_a_mend(
    tmp_path: Path, attempt: object, kind: type[KeysteadError], said: str
) -> None:
    assert callable(attempt)
    (tmp_path / "file").write_text("x")
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_text("x")
    with pytest.raises(kind, match=said) as raised:
        attempt(tmp_path)
    assert "/" in raised.value.what


def test_a_folder_is_given_its_final_name(tmp_path: Path) -> None:
    (tmp_path / ".dev.new").mkdir()
    (tmp_path / ".dev.new" / "ca.toml").write_text("x")
    files.move_folder(tmp_path / ".dev.new", tmp_path / "dev")
    assert (tmp_path / "dev" / "ca.toml").read_text() == "x"


def test_what_is_to_be_typed_works_where_a_path_has_a_space(tmp_path: Path) -> None:
    path = tmp_path / "my keys; and others" / "it's secret"
    path.parent.mkdir()
    path.write_bytes(b"x")
    path.chmod(0o644)
    with pytest.raises(Unavailable) as refused:
        files.read_private(path, 10)
    subprocess.run(["sh", "-c", refused.value.mend], check=True, timeout=10)
    assert files.read_private(path, 10) == b"x"
