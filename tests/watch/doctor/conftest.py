from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.watch.doctor.practice import Practice


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine on which all is well: made once, copied for each test."""
    place = tmp_path_factory.mktemp("pristine")
    with pytest.MonkeyPatch.context() as patch:
        practice = Practice.at(place, patch)
        practice.found()
    return place


@pytest.fixture
def practice(tmp_path: Path, pristine: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Practice]:
    """A subscriber's machine and a CA's, on which all is well, and a doctor who says so."""
    place = tmp_path / "place"
    shutil.copytree(pristine, place, copy_function=shutil.copy2)
    yield Practice.at(place, monkeypatch)
