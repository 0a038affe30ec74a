"""An ASGI application by its name on the command line.

Not here: how it is served.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from keystead.errors import NotThere, WrongUsage
from keystead.web.gate import App


def load(application: str) -> App:
    """The ASGI application that ``module:attribute`` names, imported from the current folder or beyond.

    Raises `WrongUsage` where it is no such name, `NotThere` where there is none.
    """
    module, colon, attribute = application.partition(":")
    if not (colon and module and attribute):
        raise WrongUsage(
            f"{application!r} is not an application",
            why="it is a module, a colon, and the name of the ASGI application in it",
            mend="write for example: keystead serve myservice:app",
        )
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        raise NotThere(
            f"there is no module {error.name!r}",
            why=f"{application} was looked for in this folder and in the installed packages",
            mend="run it from the folder that holds the module, with the Python that has its packages",
            code="no-app",
        ) from None
    try:
        app: App = getattr(found, attribute)
    except AttributeError:
        raise NotThere(f"the module {module} has no {attribute!r}", code="no-app") from None
    return app
