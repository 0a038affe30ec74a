"""Imports all that the command may need, for the process that `forking` forks. Not imported by tests."""

from __future__ import annotations

import gc
import pkgutil
from importlib import import_module
from importlib.metadata import entry_points

import alembic.command
import cryptography.hazmat.backends.openssl.backend
import sqlalchemy.dialects.sqlite
import uvicorn.protocols.http.httptools_impl
import uvloop

import keystead
import tests.crashes.forking

__all__ = ["alembic", "command", "cryptography", "sqlalchemy", "tests", "uvicorn", "uvloop"]

for module in pkgutil.walk_packages(keystead.__path__, "keystead."):
    if not module.name.endswith(("__main__", "migrations.env")):
        import_module(module.name)

command = entry_points(group="console_scripts")["keystead"].load()

gc.freeze()  # so that no child's collector touches these pages, which it would have to copy
