"""Machines as the crash tests have them."""

from tests.crashes.conftest import (  # noqa: F401 - fixtures are found by their names
    certified,
    founded,
    prepared,
    scenes,
)
