"""A machine with a CA of environment dev, as the crash tests have it."""

from tests.crashes.conftest import founded, home, machine  # noqa: F401 - fixtures are found by their names
