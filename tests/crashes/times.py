"""Commands that believe in another time."""

from __future__ import annotations

from pathlib import Path
from tempfile import NamedTemporaryFile

from tests.e2e.conftest import PATIENCE, Machine, Ran
from tests.programs import program


def a_year_ago(machine: Machine, *words: str) -> Ran:
    """What comes of a command that believes that it is a year earlier."""
    with NamedTemporaryFile("r") as out, NamedTemporaryFile("r") as err:
        process = Machine(machine.folder).start(
            *words, tracer=(program("faketime"), "-f", "-365d"), out=Path(out.name), err=Path(err.name)
        )
        ran = Ran(process.wait(PATIENCE), out.read(), err.read())
    assert "Traceback" not in ran.text, ran.text
    return ran
