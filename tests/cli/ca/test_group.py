"""What all CA commands share: --home and --env before and after, the first line, exit codes, no traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Keystead

COMMANDS = (
    ("list",),
    ("show", "alice"),
    ("crl",),
    ("audit",),
    ("sign", "x.csr"),
    ("revoke", "alice", "--reason", "superseded"),
)
WRONG = (
    (),
    ("bogus",),
    ("sign",),
    ("list", "--bogus"),
    ("revoke", "alice"),
    ("show",),
    ("list", "--state", "x"),
)
OF_OTHER_ISSUES = ("serve", "token", "requests", "approve", "deny", "rotate", "import")


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_an_environment_that_does_not_exist_is_an_error(
    keystead: Keystead, home: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "x.csr").write_text("x")
    said = keystead("ca", *words, "--env", "nowhere")
    assert said.code == 1
    assert "there is no environment 'nowhere'" in said.err
    assert "there is: dev" in said.err
    assert not (home / "nowhere").exists()


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_the_environment_given_twice_and_different_is_wrong_usage(
    keystead: Keystead, home: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    said = keystead("ca", "--env", "dev", *words, "--env", "prod")
    assert said.code == 2
    assert "'dev' and 'prod'" in said.err
    said = keystead("ca", "--home", home, *words, "--home", tmp_path / "other")
    assert said.code == 2


def test_home_and_environment_are_taken_before_or_after_or_both(
    keystead: Keystead, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYSTEAD_HOME", "/nowhere")
    monkeypatch.setenv("KEYSTEAD_ENV", "nowhere")
    place = ("--home", home, "--env", "dev")
    for words in (("ca", *place, "list"), ("ca", "list", *place), ("ca", *place, "list", *place)):
        assert keystead(*words).code == 0


def test_environment_variables_count_where_nothing_is_given(
    keystead: Keystead, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYSTEAD_ENV", "staging")
    assert "no environment 'staging'" in keystead("ca", "list").err
    monkeypatch.setenv("KEYSTEAD_ENV", "")
    assert keystead("ca", "list").code == 0


@pytest.mark.parametrize("words", [("list",), ("crl",), ("audit",)], ids=lambda words: words[0])
def test_the_first_line_names_environment_and_root(
    keystead: Keystead, home: Path, words: tuple[str, ...]
) -> None:
    said = keystead("ca", *words)
    assert said.code == 0
    assert said.out.startswith("environment dev · root ")
    assert "next, " in said.out


@pytest.mark.parametrize("words", [("list", "--json"), ("audit", "--json")], ids=lambda words: words[0])
def test_with_json_the_output_is_json_alone(keystead: Keystead, home: Path, words: tuple[str, ...]) -> None:
    said = keystead("ca", *words)
    json.loads(said.out)
    assert said.err.startswith("environment dev · root ")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("bogus",),
        ("sign",),
        ("list", "--bogus"),
        ("revoke", "alice"),
        ("show",),
        ("list", "--state", "x"),
    ],
)
def test_words_that_do_not_fit_exit_2(keystead: Keystead, home: Path, words: tuple[str, ...]) -> None:
    assert keystead("ca", *words).code == 2


@pytest.mark.parametrize("absent", OF_OTHER_ISSUES)
def test_what_other_issues_bring_is_absent(keystead: Keystead, absent: str) -> None:
    assert keystead("ca", absent).code == 2
