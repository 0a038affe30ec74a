from __future__ import annotations

import os
from pathlib import Path

import pytest

from keystead.ca.authority.model import Rejected, Submission
from keystead.ca.inbox import MAX_OCTETS, find, read
from keystead.errors import NotThere
from keystead.pki.facts import Wishes

WISHES = Wishes(profile="client")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.csr", "a.csr", "a.key", "a.crt", "readme.txt", "c.CSR", "csr"):
        (tmp_path / name).write_text(name)
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "d.csr").write_text("d.csr")
    return tmp_path


def test_of_a_folder_only_csr_files_are_read_in_the_order_of_their_names(folder: Path) -> None:
    assert find([folder]) == [folder / "a.csr", folder / "b.csr"]


def test_a_link_in_a_folder_is_not_followed_to_somebodys_key(folder: Path) -> None:
    (folder / "evil.csr").symlink_to(folder / "a.key")
    assert find([folder]) == [folder / "a.csr", folder / "b.csr"]
    assert find([folder / "evil.csr"]) == [folder / "evil.csr"]  # whoever names it means it


def test_a_file_that_is_named_is_read_whatever_it_is_called(folder: Path) -> None:
    assert find([folder / "readme.txt"]) == [folder / "readme.txt"]


def test_each_file_is_read_once(folder: Path) -> None:
    assert find([folder / "b.csr", folder, folder / "a.csr"]) == [folder / "b.csr", folder / "a.csr"]


def test_a_path_that_does_not_exist_is_told(folder: Path) -> None:
    with pytest.raises(NotThere, match=r"no file .*missing\.csr"):
        find([folder / "missing.csr"])


def test_a_folder_without_a_csr_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match="holds no CSR"):
        find([tmp_path])


def test_what_is_in_the_files_comes_with_its_source_and_wishes(folder: Path) -> None:
    assert list(read(find([folder]), WISHES)) == [
        Submission(str(folder / "a.csr"), b"a.csr", WISHES),
        Submission(str(folder / "b.csr"), b"b.csr", WISHES),
    ]


def test_what_cannot_be_read_is_listed_and_the_rest_goes_on(folder: Path) -> None:
    (folder / "2.csr").write_bytes(b"x" * (MAX_OCTETS + 1))
    unreadable, *submissions = read(find([folder]), WISHES)
    assert Path(unreadable.source).name == "2.csr"
    assert isinstance(unreadable, Rejected)
    assert unreadable.error.what
    assert [Path(each.source).name for each in submissions] == ["a.csr", "b.csr"]


def test_what_is_no_file_is_passed_over_in_a_folder(folder: Path) -> None:
    (folder / "0.csr").mkdir()
    (folder / "1.csr").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "2.csr")
    assert find([folder]) == [folder / "a.csr", folder / "b.csr"]


def test_a_pipe_beside_a_csr_is_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "alice.key")  # whoever opened it would wait for ever
    assert len(list(read(find([folder]), WISHES))) == 2
