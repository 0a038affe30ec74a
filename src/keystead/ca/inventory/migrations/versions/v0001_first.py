"""The first schema: certificates, identities, renewals, revocations, CRLs and the audit log's tree."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "certificates",
        sa.Column("seq", _SEQUENCE, nullable=False),
        sa.Column("serial", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("key_fingerprint", sa.Text, nullable=False),
        sa.Column("csr_fingerprint", sa.Text),
        sa.Column("wishes", sa.Text),
        sa.Column("sans", sa.Text, nullable=False),
        sa.Column("not_before", sa.BigInteger, nullable=False),
        sa.Column("not_after", sa.BigInteger, nullable=False),
        sa.Column("issuer_serial", sa.Text, sa.ForeignKey("certificates.serial"), nullable=False),
        sa.Column("renews", sa.Text, sa.ForeignKey("certificates.serial")),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
        sa.Column("der", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_certificates"),
        sa.CheckConstraint("kind IN ('root', 'issuing', 'leaf')", name=op.f("ck_certificates_kind")),
        sa.UniqueConstraint("serial", name="uq_certificates_serial"),
    )
    op.create_index("certificates_issued", "certificates", ["issued_at", "serial", "profile"])
    op.create_index("certificates_ending", "certificates", ["not_after", "serial", "profile"])
    op.create_index("certificates_identity", "certificates", ["name", "profile"])
    op.create_index("certificates_key", "certificates", ["key_fingerprint"])
    op.create_index("certificates_csr", "certificates", ["csr_fingerprint"])
    renewing = sa.text("renews IS NOT NULL")
    op.create_index(
        "certificates_renews", "certificates", ["renews"], sqlite_where=renewing, postgresql_where=renewing
    )
    op.create_table(
        "identities",
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("key_fingerprint", sa.Text, nullable=False),
        sa.Column("serial", sa.Text, sa.ForeignKey("certificates.serial"), nullable=False),
        sa.Column("not_after", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("profile", "name", name="pk_identities"),
        sqlite_with_rowid=False,
    )
    op.create_index("identities_key", "identities", ["key_fingerprint"], unique=True)
    op.create_table(
        "renewals",
        sa.Column("old_serial", sa.Text, sa.ForeignKey("certificates.serial"), nullable=False),
        sa.Column("key_fingerprint", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("old_serial", name="pk_renewals"),
    )
    op.create_table(
        "revocations",
        sa.Column("serial", sa.Text, sa.ForeignKey("certificates.serial"), nullable=False),
        sa.Column("revoked_at", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("serial", name="pk_revocations"),
    )
    op.create_index("revocations_revoked", "revocations", ["revoked_at", "serial"])
    op.create_table(
        "crls",
        sa.Column("issuer_serial", sa.Text, sa.ForeignKey("certificates.serial"), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("this_update", sa.BigInteger, nullable=False),
        sa.Column("next_update", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("issuer_serial", "number", name="pk_crls"),
    )
    op.create_table(
        "audit",
        sa.Column("seq", _SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("leaf", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
    )
    tree = op.create_table(
        "audit_tree",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("newest_at", sa.BigInteger),
        sa.Column("frontier", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_tree"),
        sa.CheckConstraint("id = 1", name=op.f("ck_audit_tree_one_row")),
    )
    op.bulk_insert(tree, [{"id": 1, "size": 0, "newest_at": None, "frontier": b""}])
