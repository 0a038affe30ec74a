from __future__ import annotations

from collections.abc import Callable

import pytest

from tests import programs


@pytest.fixture
def program() -> Callable[[str], str]:
    """`tests.programs.program`: the path of another people's program, or a skip with its reason."""
    return programs.program
