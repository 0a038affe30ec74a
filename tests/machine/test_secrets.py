"""Where secrets come from, and that they never show."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from keystead.errors import BadInput, NotThere, Unavailable
from keystead.machine.secrets import AgeIdentity, Passphrase, Secret, Secrets, terminal

WORD = "correct horse"


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write


def test_a_secret_never_shows_itself() -> None:
    secret = Passphrase(WORD)
    assert not any(WORD in text for text in (repr(secret), str(secret), f"{secret}", f"{[secret]!r}"))


def test_a_secret_does_not_show_in_a_traceback_with_its_locals() -> None:
    def fail(secret: Secret) -> None:
        raise RuntimeError(f"with {secret}")

    try:
        fail(Passphrase(WORD))
    except RuntimeError as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert WORD not in "".join(told.format())


def test_a_secret_cannot_be_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Passphrase(WORD))


def test_secrets_are_compared_by_what_they_hold() -> None:
    assert Passphrase(WORD) == Passphrase(WORD)
    assert Passphrase(WORD) != Passphrase(WORD + "!")


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_the_end_of_the_line_is_no_part_of_a_passphrase(put: Callable[[str, str], Path], ending: str) -> None:
    secrets = Secrets({}, put("p", WORD + ending))
    assert secrets.passphrase("x").reveal() == WORD


def test_spaces_are_part_of_a_passphrase(put: Callable[[str, str], Path]) -> None:
    assert Secrets({}, put("p", " a b \n")).passphrase("x").reveal() == " a b "


def test_the_option_wins_over_the_variable_and_that_over_the_credential(
    put: Callable[[str, str], Path], tmp_path: Path
) -> None:
    put("credentials/keystead-passphrase", "third\n")
    environ = {
        "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"),
        "KEYSTEAD_PASSPHRASE_FILE": str(put("two", "second\n")),
    }
    assert Secrets(environ, put("one", "first\n")).passphrase("x").reveal() == "first"
    assert Secrets(environ).passphrase("x").reveal() == "second"
    del environ["KEYSTEAD_PASSPHRASE_FILE"]
    assert Secrets(environ, ask=_unasked).passphrase("x").reveal() == "third"


def _unasked(question: str) -> str:
    raise AssertionError("nobody is asked where a file says it")


def test_without_a_terminal_the_error_names_the_three_ways() -> None:
    with pytest.raises(Unavailable) as raised:
        Secrets({}).passphrase("the issuing key of prod")
    for way in ("--passphrase-file", "KEYSTEAD_PASSPHRASE_FILE", "LoadCredential=keystead-passphrase"):
        assert way in raised.value.mend
    assert "the issuing key of prod" in raised.value.what


def test_a_person_is_asked_once_for_a_passphrase_that_exists() -> None:
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return WORD

    assert Secrets({}, ask=ask).passphrase("root in prod").reveal() == WORD
    assert asked == ["Passphrase of root in prod: "]


def test_a_new_passphrase_is_asked_for_twice() -> None:
    answers = [WORD, WORD + "!"]
    with pytest.raises(BadInput, match="differ"):
        Secrets({}, ask=lambda question: answers.pop(0)).for_sealing("prod")
    chosen = Secrets({}, ask=lambda question: WORD).for_sealing("prod")
    assert isinstance(chosen, Passphrase)


@pytest.mark.parametrize("text", ["", "\n", "two\nlines\n", "nul\0"])
def test_what_is_no_passphrase_is_refused(put: Callable[[str, str], Path], text: str) -> None:
    with pytest.raises(BadInput, match="no passphrase"):
        Secrets({}, put("p", text)).passphrase("x")


def test_a_passphrase_file_that_everybody_can_read_is_refused(put: Callable[[str, str], Path]) -> None:
    path = put("p", WORD)
    path.chmod(0o644)
    with pytest.raises(Unavailable, match="chmod 600") as raised:
        Secrets({}, path).passphrase("x")
    assert WORD not in str(raised.value)


def test_a_passphrase_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match="gone"):
        Secrets({}, tmp_path / "gone").passphrase("x")


def test_bytes_that_are_no_text_are_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(b"\xff\xfehush-hush")
    path.chmod(0o600)
    with pytest.raises(BadInput) as raised:
        Secrets({}, path).passphrase("x")
    assert "hush-hush" not in "".join(traceback.format_exception(raised.value))


def test_new_keys_are_sealed_to_the_identity_that_systemd_hands_over(
    put: Callable[[str, str], Path], tmp_path: Path
) -> None:
    put("credentials/keystead-identity", "AGE-SECRET-KEY-1")
    put("credentials/keystead-passphrase", WORD)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    assert isinstance(Secrets(environ).for_sealing("prod"), AgeIdentity)
    assert isinstance(Secrets(environ, put("p", WORD)).for_sealing("prod"), Passphrase)


def test_without_a_credential_there_is_no_identity(tmp_path: Path) -> None:
    assert Secrets({}).identity() is None
    assert Secrets({"CREDENTIALS_DIRECTORY": str(tmp_path)}).identity() is None


def test_standard_input_that_is_no_terminal_gives_no_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/null").open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert terminal() is None


def test_an_end_of_file_instead_of_a_passphrase_is_an_error_with_a_mend() -> None:
    def hang_up(question: str) -> str:
        raise EOFError

    with pytest.raises(BadInput, match="no passphrase was typed"):
        Secrets({}, ask=hang_up).passphrase("x")
