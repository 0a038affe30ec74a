"""The process ``keystead``, from its first line to its exit. Not here: what it does (`run`)."""

from __future__ import annotations

import sys
from typing import NoReturn

from keystead.cli import collector


def main() -> NoReturn:
    """Run the command line, and exit with its code."""
    collector.pause()
    from keystead.cli.run import run  # noqa: PLC0415  nothing is imported before the pause

    status = run()
    collector.retire()
    sys.exit(status)
