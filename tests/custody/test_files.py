"""Keys in files of their own."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from keystead.custody.files import read_key, write_key
from keystead.errors import AlreadyThere, BadInput, Unavailable
from keystead.pki.keys import KeyType, PrivateKey, generate, private_pem


@pytest.mark.parametrize("key_type", KeyType)
def test_a_key_is_read_back_as_it_was_written(tmp_path: Path, key_type: KeyType) -> None:
    key = generate(key_type)
    assert write_key(tmp_path / "alice.key", key) == ""
    assert private_pem(read_key(tmp_path / "alice.key")) == private_pem(key)


def test_a_key_file_is_private_and_kept_out_of_git(tmp_path: Path, key: PrivateKey) -> None:
    write_key(tmp_path / "alice.key", key)
    assert stat.S_IMODE((tmp_path / "alice.key").stat().st_mode) == 0o600
    assert (tmp_path / ".gitignore").read_text() == "*.key\n"


def test_a_key_is_never_overwritten(tmp_path: Path, key: PrivateKey) -> None:
    (tmp_path / "alice.key").write_text("old")
    with pytest.raises(AlreadyThere, match=r"alice\.key"):
        write_key(tmp_path / "alice.key", key)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path, key: PrivateKey) -> None:
    write_key(tmp_path / "alice.key", key)
    (tmp_path / "alice.key").chmod(0o644)
    with pytest.raises(Unavailable, match="chmod 600"):
        read_key(tmp_path / "alice.key")


def test_a_file_that_holds_no_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "alice.key").touch(0o600)
    with pytest.raises(BadInput, match=r"alice\.key"):
        read_key(tmp_path / "alice.key")
