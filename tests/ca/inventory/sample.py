"""Certificates to put into an inventory, made of nothing but their names."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from keystead.ca.inventory.rows import Certificate, Kind

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ROOT_SERIAL = "0a"


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def certificate(
    serial: str, name: str = "alice", *, key: str | None = None, **changes: object
) -> Certificate:
    """A client's certificate, good for 30 days; ``key`` (default: the serial) names its key and its CSR."""
    key = key or serial
    plain = Certificate(
        serial=serial,
        kind=Kind.LEAF,
        profile="client",
        name=name,
        key_fingerprint=digest(f"key {key}"),
        csr_fingerprint=digest(f"csr {key}"),
        wishes=digest(name),
        sans=(),
        not_before=NOW,
        not_after=NOW + timedelta(days=30),
        issuer_serial=ROOT_SERIAL,
        renews=None,
        issued_at=NOW,
        der=b"DER of " + serial.encode(),
    )
    return replace(plain, **changes)  # type: ignore[arg-type] # a test names fields as it likes


def root() -> Certificate:
    return certificate(ROOT_SERIAL, "root", kind=Kind.ROOT, profile="root", csr_fingerprint=None, wishes=None)
