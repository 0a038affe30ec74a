"""Whether a database has the tables and indexes of an inventory and no others, to the word.

A table can act by itself: one constraint with ON CONFLICT IGNORE drops what is written to it, and says
nothing. Not here: the tables (`schema`), and what is in them.
"""

from __future__ import annotations

from sqlalchemy import Connection, create_engine, text

from keystead.ca.inventory.schema import metadata

_STATEMENTS = text(
    "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
    " AND tbl_name NOT IN ('alembic_version', 'sqlite_stat1', 'sqlite_stat4')"
)


def differences(tx: Connection) -> tuple[str, ...]:
    """The statements that made the database and make no inventory, then those that are lacking; sorted."""
    found = _statements(tx)
    engine = create_engine("sqlite://")
    with engine.begin() as other:
        metadata.create_all(other)
        wanted = _statements(other)
    engine.dispose()
    return (*sorted(found - wanted), *sorted(wanted - found))


def _statements(tx: Connection) -> set[str]:
    """Without line breaks and quotation marks, which are SQLAlchemy's to choose."""
    return {" ".join(sql.replace('"', "").split()) for (sql,) in tx.execute(_STATEMENTS)}
