from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from keystead.pki.certificates import load_certificates
from keystead.pki.keys import load_private_pem
from tests.cli.conftest import Keystead
from tests.subscriber.throwaway_ca import ThrowawayCa


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    file = tmp_path / "passphrase"
    file.touch(0o600)
    file.write_text("correct horse battery staple\n")
    return file


def test_pem_holds_key_and_chain_for_this_account_alone(
    keystead: Keystead, alice: Path, ca: ThrowawayCa, tmp_path: Path
) -> None:
    done = keystead("export", "alice", "--pem", "alice-haproxy.pem")
    written = tmp_path / "alice-haproxy.pem"
    assert done.code == 0
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert load_certificates(written.read_bytes(), "pem") == (ca.issued[-1], ca.issuing.certificate)
    assert load_private_pem(written.read_bytes(), "pem").public_key() == ca.issued[-1].public_key()


def test_it_says_that_the_file_holds_the_private_key(keystead: Keystead, alice: Path) -> None:
    done = keystead("export", "alice", "--pem", "f.pem")
    assert "holds the PRIVATE KEY of alice: it must not leave this machine" in done.err


def test_p12_opens_with_the_passphrase(
    keystead: Keystead, alice: Path, ca: ThrowawayCa, passphrase: Path, tmp_path: Path
) -> None:
    done = keystead("export", "alice", "--p12", "alice.p12", "--passphrase-file", passphrase)
    written = tmp_path / "alice.p12"
    assert done.code == 0
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    opened = pkcs12.load_pkcs12(written.read_bytes(), b"correct horse battery staple")
    assert opened.cert is not None
    assert opened.cert.certificate == ca.issued[-1]
    assert opened.cert.friendly_name == b"alice"
    assert [other.certificate for other in opened.additional_certs] == [ca.issuing.certificate]


def test_a_short_passphrase_is_warned_of(keystead: Keystead, alice: Path, passphrase: Path) -> None:
    export = ("export", "alice", "--passphrase-file", passphrase, "--p12")
    assert "passphrase is short" not in keystead(*export, "long.p12").err
    passphrase.write_text("changeit\n")
    done = keystead(*export, "short.p12")
    assert done.code == 0
    assert "its passphrase is short (it has 8 characters" in done.err


@pytest.mark.slow
def test_openssl_finds_modern_encryption_in_the_p12(
    keystead: Keystead, alice: Path, passphrase: Path, tmp_path: Path
) -> None:
    keystead("export", "alice", "--p12", "alice.p12", "--passphrase-file", passphrase)
    told = subprocess.run(
        ["openssl", "pkcs12", "-info", "-noout", "-in", "alice.p12", "-passin", f"file:{passphrase}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    assert told.stderr.count("PBES2, PBKDF2, AES-256-CBC, Iteration 600000, PRF hmacWithSHA256") == 2


def test_the_passphrase_file_may_be_named_by_the_environment(
    keystead: Keystead, alice: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYSTEAD_EXPORT_PASSPHRASE_FILE", str(passphrase))
    assert keystead("export", "alice", "--p12", "alice.p12").code == 0


def test_the_ca_s_passphrase_is_not_taken(
    keystead: Keystead, alice: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KEYSTEAD_PASSPHRASE_FILE", str(passphrase))
    refused = keystead("export", "alice", "--p12", "alice.p12")
    assert refused.code == 1
    assert "no terminal" in refused.err
    assert not (tmp_path / "alice.p12").exists()


def test_a_passphrase_file_that_others_can_read_is_not_used(
    keystead: Keystead, alice: Path, passphrase: Path, tmp_path: Path
) -> None:
    passphrase.chmod(0o644)
    assert keystead("export", "alice", "--p12", "alice.p12", "--passphrase-file", passphrase).code == 1
    assert not (tmp_path / "alice.p12").exists()


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_passphrase_is_refused(
    keystead: Keystead, alice: Path, passphrase: Path, tmp_path: Path, text: str
) -> None:
    passphrase.write_text(text)
    assert keystead("export", "alice", "--p12", "alice.p12", "--passphrase-file", passphrase).code == 1
    assert not (tmp_path / "alice.p12").exists()


def test_nothing_is_overwritten(keystead: Keystead, alice: Path, tmp_path: Path) -> None:
    (tmp_path / "f.pem").write_text("precious")
    refused = keystead("export", "alice", "--pem", "f.pem")
    assert refused.code == 1
    assert "not overwritten" in refused.err
    assert (tmp_path / "f.pem").read_text() == "precious"


@pytest.mark.parametrize("arguments", [(), ("--pem", "a", "--p12", "b")])
def test_one_format_is_to_be_chosen(keystead: Keystead, alice: Path, arguments: tuple[str, ...]) -> None:
    assert keystead("export", "alice", *arguments).code == 2


def test_a_name_that_is_not_there_says_which_are(keystead: Keystead, alice: Path) -> None:
    refused = keystead("export", "bob", "--pem", "f.pem")
    assert refused.code == 1
    assert "alice" in refused.err


def test_in_a_checkout_it_warns_that_git_would_take_it(
    keystead: Keystead, alice: Path, tmp_path: Path
) -> None:
    (tmp_path / ".git").mkdir()
    assert "git would take f.pem" in keystead("export", "alice", "--pem", "f.pem").err
