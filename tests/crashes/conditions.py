"""Commands to which something is different: what time it is, what they may do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

from tests.e2e.conftest import PATIENCE, Machine, Ran
from tests.programs import program


def a_year_ago(machine: Machine, *words: str) -> Ran:
    """What comes of a command that believes that it is a year earlier."""
    return _under((program("faketime"), "-f", "-365d"), machine, words)


def without_privilege(machine: Machine, *words: str) -> Ran:
    """What comes of a command to which permissions apply, though root may have started it."""
    is_root = os.geteuid() == 0
    wrapper = (program("setpriv"), "--bounding-set=-dac_override") if is_root else ()
    return _under(wrapper, machine, words)


def _under(wrapper: Sequence[str], machine: Machine, words: Sequence[str]) -> Ran:
    with NamedTemporaryFile("r") as out, NamedTemporaryFile("r") as err:
        installed = Machine(machine.folder)  # what is forked is not started by anybody else
        process = installed.start(*words, tracer=wrapper, out=Path(out.name), err=Path(err.name))
        ran = Ran(process.wait(PATIENCE), out.read(), err.read())
    assert "Traceback" not in ran.text, ran.text
    return ran
