"""Machines on which all is prepared for a command, each made once; and what runs the command there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.crashes.disks import Disk, mounted
from tests.crashes.forking import ForkingMachine
from tests.crashes.making import copied
from tests.crashes.works import SCENES
from tests.e2e.conftest import Machine


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that gives the folder of a machine, prepared as one of `SCENES`; only to be copied."""

    @cache
    def prepare(name: str) -> Path:
        machine = ForkingMachine(tmp_path_factory.mktemp("scene") / "machine")
        machine.folder.mkdir()
        for step in SCENES[name]:
            step(machine)
        return machine.folder

    return prepare


@pytest.fixture
def prepared(scenes: Callable[[str], Path], request: pytest.FixtureRequest) -> Callable[[str], Machine]:
    """A function that gives the machine of a scene, only to be copied; in a soak, its commands are forked."""
    kind = Machine if request.node.get_closest_marker("soak") is None else ForkingMachine
    return lambda name: kind(scenes(name))


@pytest.fixture
def founded(prepared: Callable[[str], Machine]) -> Iterator[Machine]:
    """This test's own machine, with a CA of environment dev in ``home``."""
    with copied(prepared("founded")) as machine:
        yield machine


@pytest.fixture
def certified(prepared: Callable[[str], Machine]) -> Iterator[Machine]:
    """The same, where folders ``server`` and ``alice`` have their certificates."""
    with copied(prepared("certified")) as machine:
        yield machine


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small file system of its own."""
    with mounted(tmp_path / "disk") as disk:
        yield disk
