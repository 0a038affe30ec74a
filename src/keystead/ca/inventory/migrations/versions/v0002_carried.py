"""Revocations carried over from a published list, whose certificates a restored inventory does not have."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "carried_revocations",
        sa.Column("issuer_serial", sa.Text, sa.ForeignKey("certificates.serial"), nullable=False),
        sa.Column("serial", sa.Text, nullable=False),
        sa.Column("revoked_at", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("issuer_serial", "serial", name="pk_carried_revocations"),
        sqlite_with_rowid=False,
    )
