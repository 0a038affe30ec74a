from __future__ import annotations

from pathlib import Path

import pytest

from keystead.pki.certificates import load_certificate
from keystead.pki.fingerprints import Fingerprint
from tests.cli.conftest import Keystead


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fingerprint(home: Path, environment: str = "dev") -> str:
    path = home / environment / "root.crt"
    return str(Fingerprint.of_certificate(load_certificate(path.read_bytes(), "")))


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("KEYSTEAD_ENV", "KEYSTEAD_PASSPHRASE_FILE", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("KEYSTEAD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_it_ends_with_the_fingerprint_what_to_hand_out_how_to_back_up_and_what_to_type(
    keystead: Keystead, empty: Path
) -> None:
    made = keystead("ca", "init", "--no-passphrase")
    assert made.code == 0
    assert made.out.splitlines()[0] == f"environment dev · root {fingerprint(empty)}"
    for part in (
        f"Root fingerprint, to be read aloud: {fingerprint(empty)}",
        str(empty / "dev" / "ca.crt"),
        "keystead ca backup",
        "keystead csr NAME",
        "keystead ca sign NAME.csr",
    ):
        assert part in made.out
    assert "UNSEALED" in made.err


def test_again_with_the_same_options_nothing_is_changed(keystead: Keystead, empty: Path) -> None:
    options = ("--no-passphrase", "--org", "Example", "--key-type", "ed25519", "--public-url", "http://a.b/")
    assert keystead("ca", "init", *options).code == 0
    before = contents(empty)
    for again in (options, (), ("--org", "Example"), ("--trust-domain", "example.internal")):
        said = keystead("ca", "init", *again)
        assert said.code == 0
        assert "nothing is changed" in said.out
        assert said.out.startswith("environment dev · root ")
    assert contents(empty) == before


@pytest.mark.parametrize(
    ("option", "value", "there"),
    [
        ("--org", "Other", "Example"),
        ("--trust-domain", "other.internal", "example.internal"),
        ("--public-url", "http://a.b", "None"),
        ("--key-type", "p384", "p256"),
    ],
)
def test_again_with_another_option_exits_1_naming_the_difference(
    keystead: Keystead, empty: Path, option: str, value: str, there: str
) -> None:
    assert keystead("ca", "init", "--no-passphrase", "--org", "Example").code == 0
    before = contents(empty)
    said = keystead("ca", "init", option, value)
    assert said.code == 1
    assert f"{option} is" in said.err
    assert there in said.err
    assert value in said.err
    assert contents(empty) == before


def test_a_sealed_environment_is_not_what_no_passphrase_asks_for(
    keystead: Keystead, empty: Path, credentials: Path
) -> None:
    assert keystead("ca", "init").code == 0
    said = keystead("ca", "init", "--no-passphrase")
    assert said.code == 1
    assert "sealed" in said.err


def test_prod_needs_the_name_of_its_organization(keystead: Keystead, empty: Path, credentials: Path) -> None:
    said = keystead("ca", "init", "--env", "prod")
    assert said.code == 2
    assert "--org" in said.err
    assert not empty.exists()
    made = keystead("ca", "init", "--env", "prod", "--org", "Example")
    assert made.code == 0
    assert "prod.example.internal" in made.out
    assert "sealed to an age identity" in made.out


@pytest.mark.parametrize("environment", ["prod", "staging"])
def test_unsealed_keys_are_refused_outside_dev(keystead: Keystead, empty: Path, environment: str) -> None:
    said = keystead("ca", "init", "--env", environment, "--org", "Example", "--no-passphrase")
    assert said.code == 2
    assert "--no-passphrase is for the environment dev only" in said.err
    assert not empty.exists()


def test_without_a_terminal_a_passphrase_is_never_asked_for(keystead: Keystead, empty: Path) -> None:
    said = keystead("ca", "init", "--env", "staging")
    assert said.code == 1
    assert "--passphrase-file" in said.err
    assert not (empty / "staging").exists()


def test_a_passphrase_file_that_others_can_read_is_refused(
    keystead: Keystead, empty: Path, tmp_path: Path
) -> None:
    file = tmp_path / "passphrase"
    file.write_text("secret words\n")
    file.chmod(0o644)
    said = keystead("ca", "init", "--env", "staging", "--passphrase-file", file)
    assert said.code == 1
    assert "chmod 600" in said.err
    assert "secret words" not in said.out + said.err


@pytest.mark.parametrize(
    "words",
    [
        ("--org", ""),
        ("--org", "x" * 65),
        ("--org", "a\x1b[31mb"),
        ("--key-type", "rsa1024"),
        ("--public-url", "https://a.b"),
        ("--public-url", "http://u:secret@a.b"),
        ("--public-url", "http://[x"),
        ("--env", "Prod"),
        ("--env", "../x"),
    ],
)
def test_options_that_make_no_ca_are_refused_and_nothing_is_made(
    keystead: Keystead, empty: Path, words: tuple[str, str]
) -> None:
    said = keystead("ca", "init", "--no-passphrase", *words)
    assert said.code == 2
    assert "\x1b" not in said.err
    assert not empty.exists()
