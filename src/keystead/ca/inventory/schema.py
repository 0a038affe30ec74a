"""The inventory's tables, as SQLAlchemy Core knows them; `migrations` makes the same ones (tested).

What must be unique is a constraint here. Not here: queries (`reads`, `listing`, `writes`).
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator

from keystead.ca.inventory.rows import Kind


class Instant(TypeDecorator[datetime]):
    """A moment, kept as whole Unix seconds: exact, sortable, the same in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Drops what is finer than a second."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone")
        return int(value.timestamp())

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Aware, in UTC."""
        return None if value is None else datetime.fromtimestamp(value, UTC)


class Names(TypeDecorator[tuple[str, ...]]):
    """Host names, a space between two, so that a person's own query can look for one."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str | None:
        """No host name holds a space."""
        return None if value is None else " ".join(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...] | None:
        """The same names again."""
        return None if value is None else tuple(value.split())


class KindText(TypeDecorator[Kind]):
    """A `Kind` as its word."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Kind | None, dialect: Dialect) -> str | None:
        """The word."""
        return None if value is None else value.value

    def process_result_value(self, value: str | None, dialect: Dialect) -> Kind | None:
        """The kind that the word names."""
        return None if value is None else Kind(value)


SEQUENCE = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers its rows by an INTEGER PRIMARY KEY alone; by a BIGINT it keeps a second tree."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

certificates = Table(
    "certificates",
    metadata,
    # The order of recording: two may be of one second, and a clock may be set back a little.
    Column("seq", SEQUENCE, primary_key=True),
    Column("serial", Text, nullable=False, unique=True),
    Column("kind", KindText, nullable=False),
    Column("profile", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("key_fingerprint", Text, nullable=False),
    Column("csr_fingerprint", Text),
    Column("wishes", Text),
    Column("sans", Names, nullable=False),
    Column("not_before", Instant, nullable=False),
    Column("not_after", Instant, nullable=False),
    Column("issuer_serial", Text, ForeignKey("certificates.serial"), nullable=False),
    Column("renews", Text, ForeignKey("certificates.serial")),
    Column("issued_at", Instant, nullable=False),
    Column("der", LargeBinary, nullable=False),
    CheckConstraint("kind IN ('root', 'issuing', 'leaf')", name="kind"),
)
# An index answers one question each. Two carry columns beyond their order, so that a filter over a million
# rows reads the index alone.
Index("certificates_issued", certificates.c.issued_at, certificates.c.serial, certificates.c.profile)
Index("certificates_ending", certificates.c.not_after, certificates.c.serial, certificates.c.profile)
Index("certificates_identity", certificates.c.name, certificates.c.profile)
# The certificates of a CSR too are found by this one: it holds the key.
Index("certificates_key", certificates.c.key_fingerprint)
Index(
    "certificates_renews",
    certificates.c.renews,
    sqlite_where=certificates.c.renews.is_not(None),
)

identities = Table(
    "identities",
    metadata,
    Column("profile", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("key_fingerprint", Text, nullable=False),
    Column("serial", Text, ForeignKey("certificates.serial"), nullable=False),
    Column("not_after", Instant, nullable=False),
    sqlite_with_rowid=False,
)
# A key is live for one identity only.
Index("identities_key", identities.c.key_fingerprint, unique=True)

renewals = Table(
    "renewals",
    metadata,
    # One key renews a certificate, once for all: a second one by another key breaks this primary key.
    Column("old_serial", Text, ForeignKey("certificates.serial"), primary_key=True),
    Column("key_fingerprint", Text, nullable=False),
)

revocations = Table(
    "revocations",
    metadata,
    Column("serial", Text, ForeignKey("certificates.serial"), primary_key=True),
    Column("revoked_at", Instant, nullable=False),
    Column("reason", Text, nullable=False),
)
Index("revocations_revoked", revocations.c.revoked_at, revocations.c.serial)

carried_revocations = Table(
    "carried_revocations",
    metadata,
    # What a published list says of certificates that are not here: a restored backup is older than it.
    Column("issuer_serial", Text, ForeignKey("certificates.serial"), primary_key=True),
    Column("serial", Text, primary_key=True),
    Column("revoked_at", Instant, nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)

crls = Table(
    "crls",
    metadata,
    Column("issuer_serial", Text, ForeignKey("certificates.serial"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("this_update", Instant, nullable=False),
    Column("next_update", Instant, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("entry", Text, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
)

audit_tree = Table(
    "audit_tree",
    metadata,
    # One row, made by the first migration: the lock that puts entries in sequence.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("newest_at", Instant),
    Column("frontier", LargeBinary, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
