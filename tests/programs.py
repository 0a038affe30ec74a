"""Other people's programs that tests run: found, or missed out loud."""

from __future__ import annotations

import os
import shutil

import pytest


def program(name: str) -> str:
    """The path of a program; where it is missing, skipped with the reason, but failed as root.

    `make packages` installs what tests need wherever it may, so that root has no excuse.
    """
    if found := shutil.which(name):
        return found
    if os.geteuid() == 0:
        pytest.fail(f"{name} is missing: make packages")
    pytest.skip(f"{name} is missing, and without root it cannot be installed: make packages says how")
