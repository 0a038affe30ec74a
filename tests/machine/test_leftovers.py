"""Leftovers: what a killed writer left goes with the next write, what a living one writes stays."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from keystead.machine import files, leftovers


def left(folder: Path, name: str = "a.crt") -> Path:
    path = folder / leftovers.temporary_name(name)
    path.write_bytes(b"half")
    return path


@pytest.mark.parametrize("name", ["a.crt", "b.crt"])
def test_a_write_sweeps_what_a_killed_one_left_in_the_folder(tmp_path: Path, name: str) -> None:
    left(tmp_path)
    files.write_atomic(tmp_path / name, b"new")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_many_files_sweep_each_of_their_folders(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    many = files.ManyFiles()
    for folder in folders:
        folder.mkdir()
        left(folder)
        many.put(folder / "a.crt", b"new")
    assert [[path.name for path in folder.iterdir()] for folder in folders] == [["a.crt"]] * 2


def test_what_a_living_writer_holds_is_left_alone(tmp_path: Path) -> None:
    path = left(tmp_path)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        leftovers.sweep(tmp_path)
        assert path.exists()
    leftovers.sweep(tmp_path)
    assert not path.exists()


@pytest.mark.parametrize("name", ["notes.tmp", ".a.crt.tmp", ".a.crt.0123456789AB.tmp", "a.0123456789ab.tmp"])
def test_a_file_of_another_name_is_nobodys_leftover(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    leftovers.sweep(tmp_path)
    assert (tmp_path / name).exists()


def test_a_folder_or_a_link_of_that_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    (tmp_path / ".a.0123456789ab.tmp").mkdir()
    (tmp_path / ".b.0123456789ab.tmp").symlink_to("precious")
    leftovers.sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_writer_whose_file_was_swept_before_it_was_locked_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_taken = leftovers.is_taken
    swept: list[bool] = []

    def late(descriptor: int, path: str) -> bool:
        if not swept:
            leftovers.sweep(tmp_path)
            swept.append(True)
        return is_taken(descriptor, path)

    monkeypatch.setattr(leftovers, "is_taken", late)
    files.write_atomic(tmp_path / "a.crt", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.crt", b"new")]


def test_writers_that_sweep_do_not_hurt_each_other(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for _ in range(200):
                files.write_atomic(tmp_path / "crl.pem", b"%d" % number * 1000)
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert os.listdir(tmp_path) == ["crl.pem"]  # noqa: PTH208
    assert len(set((tmp_path / "crl.pem").read_bytes())) == 1
