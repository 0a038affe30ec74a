"""A keeper for the office."""

from __future__ import annotations

import pytest

from tests.ca.office import Office
from tests.ca.procedures.keeping import Keeper


@pytest.fixture
def keeper(office: Office) -> Keeper:
    return Keeper(office)
