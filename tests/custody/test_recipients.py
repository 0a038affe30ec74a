"""To whom an archive is sealed: keys as people have them, in words and in files; secrets are sent away."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest

from keystead.custody.recipients import MAX_RECIPIENTS, parse_recipients, read_opener
from keystead.errors import BadInput, KeysteadError, NotThere, Unavailable, WrongUsage

Program = Callable[[str], str]


@pytest.fixture
def age_key() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def ssh(tmp_path: Path, program: Program) -> Callable[..., Path]:
    def make(kind: str, passphrase: str = "") -> Path:
        path = tmp_path / f"id_{kind}"
        subprocess.run(
            [program("ssh-keygen"), "-q", "-t", kind, "-N", passphrase, "-C", "ops@example", "-f", path],
            check=True,
        )
        return path

    return make


def private(path: Path, text: str) -> Path:
    path.touch(0o600)
    path.write_text(text)
    return path


def test_an_age_key_is_taken_as_a_word_and_from_a_file(
    tmp_path: Path, age_key: pyrage.x25519.Identity
) -> None:
    word = str(age_key.to_public())
    (tmp_path / "team").write_text(f"# ours\n{word}\n\n  {word}  \n")
    found = parse_recipients([word, str(tmp_path / "team")])
    assert found.spelled == (word, word, word)


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_an_ssh_key_is_taken_as_it_lies_there_and_told_by_its_end(
    ssh: Callable[..., Path], kind: str
) -> None:
    path = ssh(kind)
    line = path.with_suffix(".pub").read_text()
    for word in (line, str(path.with_suffix(".pub"))):
        (spelled,) = parse_recipients([word]).spelled
        assert spelled.startswith(f"ssh-{kind} …")
        assert spelled.endswith(" ops@example")
        assert len(spelled) < 80


def test_an_ssh_key_of_another_type_is_refused_naming_those_that_are_taken(ssh: Callable[..., Path]) -> None:
    with pytest.raises(BadInput, match="ed25519 and rsa"):
        parse_recipients([str(ssh("ecdsa").with_suffix(".pub"))])


@pytest.mark.parametrize("word", ["age1", "age1qqqq", "ssh-ed25519 AAAA", "ssh-ed25519"])
def test_what_is_no_key_is_refused(word: str) -> None:
    with pytest.raises(BadInput, match="no recipient"):
        parse_recipients([word])


def test_a_secret_key_as_a_word_is_refused_and_not_repeated(age_key: pyrage.x25519.Identity) -> None:
    with pytest.raises(WrongUsage) as refused:
        parse_recipients([str(age_key)])
    assert str(age_key)[15:] not in str(refused.value)


@pytest.mark.parametrize("start", ["AGE-SECRET-KEY-1", "-----BEGIN OPENSSH PRIVATE KEY-----"])
def test_a_file_of_secrets_is_refused_and_not_repeated(tmp_path: Path, start: str) -> None:
    path = private(tmp_path / "key", f"# public key: age1x\n{start}SECRET\n")
    with pytest.raises(BadInput, match="secret key") as refused:
        parse_recipients([str(path)])
    assert "SECRET\n" not in str(refused.value)


def test_a_file_of_nobody_and_one_of_too_many(tmp_path: Path, age_key: pyrage.x25519.Identity) -> None:
    (tmp_path / "nobody").write_text("# nobody\n")
    (tmp_path / "crowd").write_text(f"{age_key.to_public()}\n" * (MAX_RECIPIENTS + 1))
    with pytest.raises(BadInput, match="names no recipient"):
        parse_recipients([str(tmp_path / "nobody")])
    with pytest.raises(WrongUsage, match="at most"):
        parse_recipients([str(tmp_path / "crowd")])
    with pytest.raises(NotThere):
        parse_recipients([str(tmp_path / "nowhere")])


def test_an_identity_is_read_from_age_and_from_ssh(
    tmp_path: Path, age_key: pyrage.x25519.Identity, ssh: Callable[..., Path]
) -> None:
    assert len(read_opener(private(tmp_path / "one", f"# mine\n{age_key}\n{age_key}\n")).keys) == 2
    assert len(read_opener(ssh("ed25519")).keys) == 1


def test_an_identity_never_shows_itself(tmp_path: Path, age_key: pyrage.x25519.Identity) -> None:
    identity = read_opener(private(tmp_path / "one", str(age_key)))
    assert str(age_key)[15:30] not in repr(identity)


def test_an_ssh_key_with_a_passphrase_of_its_own_says_so(ssh: Callable[..., Path]) -> None:
    with pytest.raises(BadInput, match="passphrase of its own"):
        read_opener(ssh("ed25519", "secret"))


def test_a_public_key_as_identity_is_answered_with_the_name_of_its_secret_half(tmp_path: Path) -> None:
    (tmp_path / "id_ed25519.pub").write_text("ssh-ed25519 AAAA me")
    with pytest.raises(BadInput) as caught:
        read_opener(tmp_path / "id_ed25519.pub")
    assert caught.value.mend.endswith(f"--identity {tmp_path}/id_ed25519")


def test_an_identity_that_others_can_read_is_not_used(
    tmp_path: Path, age_key: pyrage.x25519.Identity
) -> None:
    path = private(tmp_path / "one", str(age_key))
    path.chmod(0o644)
    with pytest.raises(Unavailable, match="chmod 600"):
        read_opener(path)


@pytest.mark.parametrize(
    "text", ["", "hello", "AGE-SECRET-KEY-1QQQ", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "age1xyz"]
)
def test_what_is_no_identity_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(KeysteadError, match="one cannot open an archive"):
        read_opener(private(tmp_path / "one", text))


def test_a_path_with_a_space_is_quoted_in_what_is_to_be_typed(
    tmp_path: Path, age_key: pyrage.x25519.Identity
) -> None:
    path = private(tmp_path / "my key", str(age_key))
    with pytest.raises(BadInput) as refused:
        parse_recipients([str(path)])
    assert refused.value.mend.endswith(f"--recipient $(age-keygen -y {shlex.quote(str(path))})")
    with pytest.raises(BadInput) as refused:
        read_opener(path.with_suffix(".pub"))
    assert shlex.split(refused.value.mend)[-2:] == ["--identity", str(path)]


def test_a_sealed_ssh_key_is_opened_by_what_is_to_be_typed(ssh: Callable[..., Path], tmp_path: Path) -> None:
    path = ssh("ed25519", "secret").rename(tmp_path / "my key")
    with pytest.raises(BadInput) as refused:
        read_opener(path)
    copy = refused.value.mend.partition(": ")[2].partition(" && ")[0]
    subprocess.run(["sh", "-c", copy], check=True, timeout=10, cwd=tmp_path)
    assert (tmp_path / "F").read_bytes() == path.read_bytes()
