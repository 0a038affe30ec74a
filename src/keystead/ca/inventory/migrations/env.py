"""What Alembic runs: the scripts, over the connection and in the transaction that `upgrade` was given."""

from __future__ import annotations

from alembic import context

from keystead.ca.inventory.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
