"""The garbage collector, kept from looking through what start-up makes: modules, which live to the end.

A collection cannot free any of them, and start-up would have dozens: a fifth of the time of a short command.
"""

from __future__ import annotations

import gc


def pause() -> None:
    """Collect nothing while the command is found and imported."""
    gc.disable()


def resume() -> None:
    """Collect again, but for what is there by now; nothing where `pause` was not called."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def retire() -> None:
    """Leave all that is there to the end of the process, which gives the memory back at once."""
    gc.freeze()
