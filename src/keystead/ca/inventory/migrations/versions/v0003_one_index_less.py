"""One index less: the certificates of a CSR are among those of the key that it holds."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.drop_index("certificates_csr", "certificates", if_exists=True)
