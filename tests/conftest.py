"""What all tests share: other people's programs, and how hypothesis chooses its examples."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import settings

from tests import programs
from tests.rounds import pytest_terminal_summary  # noqa: F401 - pytest finds its hooks by their names

# Where work lands the examples are the same each time, so that a commit is judged by itself. At a desk they
# are new each time, and what they find becomes an @example.
settings.register_profile("landing", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("landing")


@pytest.fixture
def program() -> Callable[[str], str]:
    """`tests.programs.program`: the path of another person's program, or a skip with its reason."""
    return programs.program
