"""Machines as the crash tests have them."""

from tests.crashes.conftest import home, machine, scenes  # noqa: F401 - fixtures are found by their names
