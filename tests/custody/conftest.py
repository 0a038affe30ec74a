"""A folder, secrets, and keys for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest

from keystead.machine.secrets import Secrets
from keystead.pki.keys import KeyType, PrivateKey, generate


@pytest.fixture
def key() -> PrivateKey:
    return generate(KeyType.P256)


@pytest.fixture
def by_passphrase(tmp_path: Path) -> Callable[[str], Secrets]:
    def secrets(word: str) -> Secrets:
        path = tmp_path / f"{word}.passphrase"
        path.write_text(word)
        path.chmod(0o600)
        return Secrets({}, path)

    return secrets


@pytest.fixture
def by_identity(tmp_path: Path) -> Callable[[str], Secrets]:
    def secrets(machine: str) -> Secrets:
        path = tmp_path / machine / "keystead-identity"
        if not path.exists():
            path.parent.mkdir()
            path.write_text(f"# created on {machine}\n{pyrage.x25519.Identity.generate()}\n")
            path.chmod(0o600)
        return Secrets({"CREDENTIALS_DIRECTORY": str(path.parent)})

    return secrets
