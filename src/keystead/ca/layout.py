"""Where things lie in a CA's home: the name of each file of an environment's folder, and of the home's own.

Not here: what is in them, a key's file (`custody.vault`), and a subscriber's folder (`subscriber.layout`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

CONFIGURATION: Final = "ca.toml"
ROOT_CERTIFICATE: Final = "root.crt"
ISSUING_CERTIFICATE: Final = "issuing.crt"

ANCHOR: Final = "ca.crt"
"""The root again, under the name by which it is handed out."""

LISTS: Final = "crl.pem"
"""The issuing CA's revocation list and the root's."""

INVENTORY: Final = "inventory.db"

CLAIMS: Final = "keys.db"
"""In the home itself, for all environments: which of them a key belongs to."""


def places(home: Path) -> Iterator[Path]:
    """What may be an environment in ``home``; unlike `Path.glob`, it raises where it may not look."""
    if home.exists():
        yield from (place for place in home.iterdir() if "a" <= place.name[:1] <= "z")
