"""Machines on which all is prepared for a command, each made once; and what runs the command there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.crashes.forking import ForkingMachine
from tests.crashes.works import WORKS
from tests.e2e.conftest import Machine


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that gives the folder of a machine where a work of `WORKS` is prepared; only to copy."""

    @cache
    def prepare(name: str) -> Path:
        machine = ForkingMachine(tmp_path_factory.mktemp("scene") / "machine")
        machine.folder.mkdir()
        for step in WORKS[name].steps:
            step(machine)
        return machine.folder

    return prepare


@pytest.fixture
def prepared(scenes: Callable[[str], Path], request: pytest.FixtureRequest) -> Callable[[str], Machine]:
    """A function that gives the machine of a work, only to be copied; in a soak, its commands are forked."""
    kind = Machine if request.node.get_closest_marker("soak") is None else ForkingMachine
    return lambda name: kind(scenes(name))


@pytest.fixture
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    """An empty machine; in a soak, its commands are forked."""
    kind = Machine if request.node.get_closest_marker("soak") is None else ForkingMachine
    return kind(tmp_path)


@pytest.fixture
def home(scenes: Callable[[str], Path], machine: Machine) -> Path:
    """A CA of environment dev on that machine."""
    return Path(shutil.copytree(scenes("publish") / "home", machine.folder / "home"))
