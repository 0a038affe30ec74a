"""How an inventory of an older keystead becomes one of this: Alembic's scripts, and who runs them.

Alembic is imported by `upgrade` alone: an inventory that is current does not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

REVISIONS = ("0001", "0002", "0003")
"""Every schema that this keystead knows, oldest first; the last one is current."""


def upgrade(connection: Connection) -> None:
    """Bring the schema to the newest revision, inside the transaction that ``connection`` has open."""
    from alembic import command  # noqa: PLC0415 - 0.3 s that a current inventory is spared
    from alembic.config import Config  # noqa: PLC0415 - likewise

    config = Config()
    config.set_main_option("script_location", "keystead.ca.inventory:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, REVISIONS[-1])
