"""A machine with a CA of environment dev, made once and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import Machine


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the environment dev, to be copied."""
    machine = Machine(tmp_path_factory.mktemp("founded"))
    home = machine.folder / "home"
    machine.ok("ca", "init", "--no-passphrase", "--home", str(home))
    return home


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One machine for all roles."""
    return Machine(tmp_path)


@pytest.fixture
def home(founded: Path, machine: Machine) -> Path:
    """This test's own CA, of environment dev."""
    return Path(shutil.copytree(founded, machine.folder / "home"))
