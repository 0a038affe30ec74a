from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Keystead
from tests.pki.makers import csr_pem


@pytest.fixture
def without_keys(keystead: Keystead, home: Path, tmp_path: Path) -> Path:
    """alice is signed, and keys.db is lost since."""
    (tmp_path / "alice.csr").write_bytes(csr_pem("alice"))
    assert keystead("ca", "sign", "alice.csr").code == 0
    for path in home.glob("keys.db*"):
        path.unlink()
    return home


@pytest.mark.parametrize("words", [("list",), ("show", "alice"), ("audit",)], ids=lambda words: words[0])
def test_what_only_reads_goes_on_without_keys_db(
    keystead: Keystead, without_keys: Path, words: tuple[str, ...]
) -> None:
    assert keystead("ca", *words).code == 0
    assert not (without_keys / "keys.db").exists()


@pytest.mark.parametrize("words", [("sign", "bob.csr"), ("backup",), ("crl",)], ids=lambda words: words[0])
def test_nothing_is_signed_without_keys_db(
    keystead: Keystead, without_keys: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "bob.csr").write_bytes(csr_pem("bob"))
    assert keystead("ca", *words).code != 0
    assert not (without_keys / "keys.db").exists()
    assert not (tmp_path / "bob.crt").exists()


def test_keys_db_is_rebuilt_by_audit_which_says_what_cannot_be_known(
    keystead: Keystead, without_keys: Path, tmp_path: Path
) -> None:
    said = keystead("ca", "audit", "--rebuild-keys")
    assert said.code == 0
    assert "keys.db knows the 3 keys that were certified in dev; 0 are barred" in said.out
    assert "never certified here are not known any more" in said.err
    (tmp_path / "bob.csr").write_bytes(csr_pem("bob"))
    assert keystead("ca", "sign", "bob.csr").code == 0


def test_the_answer_in_json_is_json_alone(keystead: Keystead, without_keys: Path) -> None:
    said = keystead("ca", "audit", "--rebuild-keys", "--accept-clock", "--json")
    assert json.loads(said.out)["entries"] > 0
