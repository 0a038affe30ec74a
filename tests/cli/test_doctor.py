from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Keystead


def test_a_home_that_was_named_must_hold_a_ca(keystead: Keystead, alice: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused = keystead("doctor", "--home", "empty")
    assert refused.code == 1
    assert "there is no CA in empty" in refused.err
    assert "keystead ca init --home DIR" in refused.err


def test_without_one_the_folder_alone_is_looked_at(keystead: Keystead, alice: Path) -> None:
    assert "all is well" in keystead("doctor").out
