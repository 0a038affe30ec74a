"""What SQLite says no with, in keystead's words; what it does is tested with the databases that it keeps."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from keystead.errors import Unavailable
from keystead.machine import sqlite


@pytest.mark.parametrize("code", ["SQLITE_PERM", "SQLITE_SCHEMA"])
def test_a_path_with_a_space_is_quoted_in_what_is_to_be_typed(tmp_path: Path, code: str) -> None:
    error = sqlite3.OperationalError("no")
    error.sqlite_errorname = code
    path = tmp_path / "my ca" / "keys.db"
    found = sqlite.explain(error, path)
    assert isinstance(found, Unavailable)
    assert found.mend.endswith(f"look at: ls -l '{path}'*")
