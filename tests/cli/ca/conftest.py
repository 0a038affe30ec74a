from __future__ import annotations

from pathlib import Path

import pytest

from tests.ca.office import identity_secrets
from tests.cli.conftest import Keystead


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keystead: Keystead) -> Path:
    """A CA machine's home with the environment ``dev``, whose keys lie unsealed."""
    for variable in ("KEYSTEAD_ENV", "KEYSTEAD_PASSPHRASE_FILE", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("KEYSTEAD_HOME", str(tmp_path / "home"))
    assert keystead("ca", "init", "--no-passphrase").code == 0
    return tmp_path / "home"


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An age identity, as systemd hands it over."""
    folder = tmp_path / "credentials"
    identity_secrets(folder)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder
