"""A machine with a CA of environment dev, made once and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.crashes.forking import ForkingMachine
from tests.e2e.conftest import Machine


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the environment dev, to be copied."""
    machine = Machine(tmp_path_factory.mktemp("founded"))
    home = machine.folder / "home"
    machine.ok("ca", "init", "--no-passphrase", "--home", str(home))
    return home


@pytest.fixture
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    """One machine for all roles; in a soak, its commands are forked."""
    folder = tmp_path / "machine"
    folder.mkdir()
    if request.node.get_closest_marker("soak") is None:
        return Machine(folder)
    machine = ForkingMachine(folder)
    machine.ok("--version")  # the first waits for the imports, which belong to no command's time
    return machine


@pytest.fixture
def home(founded: Path, machine: Machine) -> Path:
    """This test's own CA, of environment dev."""
    return Path(shutil.copytree(founded, machine.folder / "home"))
