"""Folders that keystead makes, and keys kept out of git."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keystead.errors import Unavailable
from keystead.machine.folders import keep_out_of_git, make_private_folder
from keystead.machine.gitignore import is_ignored
from tests.programs import program


@pytest.mark.parametrize("umask", [0, 0o077, 0o777])
def test_every_folder_that_is_made_is_private_and_ignored_by_git(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_private_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert (folder / ".gitignore").read_text() == "*\n"
    assert not (tmp_path / ".gitignore").exists()


def test_a_folder_that_exists_is_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    folder.mkdir()
    folder.chmod(0o755)
    make_private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert list(folder.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "certs").write_text("")
    with pytest.raises(Unavailable, match="certs"):
        make_private_folder(tmp_path / "certs")
    with pytest.raises(Unavailable, match="certs"):
        make_private_folder(tmp_path / "certs" / "deeper")


def test_a_folder_without_a_gitignore_gets_one_that_keeps_keys_out(tmp_path: Path) -> None:
    assert keep_out_of_git(tmp_path / "alice.key") == ""
    assert (tmp_path / ".gitignore").read_text() == "*.key\n"
    assert keep_out_of_git(tmp_path / "bob.new.key") == ""


def test_a_gitignore_that_lets_the_key_through_stays_and_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.log\n")
    warning = keep_out_of_git(tmp_path / "alice.key")
    assert "alice.key" in warning
    assert str(tmp_path / ".gitignore") in warning
    assert (tmp_path / ".gitignore").read_text() == "*.log\n"


def test_a_gitignore_further_up_in_the_repository_counts(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("*.key\n")
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / ".gitignore").write_text("# nothing\n")
    assert keep_out_of_git(tmp_path / "certs" / "alice.key") == ""


_LINES = st.sampled_from(
    [
        "*.key", "!*.key", "certs/", "/certs", "certs/*", "!certs/a.key", "**/a.key", "a.key", "/a.key", "*",
        "certs/**", "**/certs/*.key", "a.?ey", "a.[k]ey", "[!b].key", "# a.key", "", r"\#a.key", "deep/certs",
        "deep/**/a.key", "!deep", "!*/", "a.*", "certs/*.log", "/*", "!/deep",
        r"\a.key", "[^b].key", "[a-c].key", "[z-a].key", "***.key", "[]a].key", "[a&&a].key",
    ]
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(top=st.lists(_LINES, max_size=4), lower=st.lists(_LINES, max_size=3))
def test_git_itself_decides_the_same(tmp_path: Path, top: list[str], lower: list[str]) -> None:
    git = program("git")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    folder = tmp_path / "deep" / "certs"
    if not folder.exists():
        folder.mkdir(parents=True)
        subprocess.run([git, "init", "-q"], cwd=tmp_path, env=environment, check=True)
    (tmp_path / ".gitignore").write_text("\n".join(top))
    (folder / ".gitignore").write_text("\n".join(lower))
    answer = subprocess.run([git, "check-ignore", "-q", "deep/certs/a.key"], cwd=tmp_path, env=environment)
    assert is_ignored(folder / "a.key") == (answer.returncode == 0)


@example("[?--]")
@given(st.text("ac.key*?[]!^/\\-& \n", max_size=30))
def test_no_gitignore_makes_it_fail(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / ".gitignore").write_text(text)
    assert is_ignored(folder / "a.key") in (True, False)
