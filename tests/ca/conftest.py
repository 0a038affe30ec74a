"""An inventory with a root in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keystead.ca.inventory import writes
from keystead.ca.inventory.rows import Issue
from keystead.ca.inventory.store import Inventory, create_inventory
from tests.ca.inventory.sample import root
from tests.ca.office import founded_home, office

__all__ = ["founded_home", "inventory", "office"]


@pytest.fixture
def inventory(tmp_path: Path) -> Iterator[Inventory]:
    with create_inventory(tmp_path / "inventory.db") as made:
        with made.writing() as tx:
            writes.record(tx, [Issue(root())])
        yield made
