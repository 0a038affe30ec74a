"""Large revocation lists, signed by the stage's own issuing CA."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from bench.stage import Stage
from keystead.pki.certificates import load_certificates
from keystead.pki.keys import load_private_pem
from keystead.pki.revocation import Revocation, build_crl, crl_to_pem, load_crls

ENTRIES = 100_000


def growing_lists(stage: Stage, entries: int, count: int) -> Iterator[bytes]:
    """So many crl.pem, each with the next number: the issuing CA's with ``entries`` entries, the root's."""
    home, now = stage.home / "dev", datetime.now(UTC)
    issuing = load_certificates((home / "issuing.crt").read_bytes(), "issuing.crt")[0]
    key = load_private_pem((home / "issuing.key").read_bytes(), "issuing.key")
    before = load_crls((home / "crl.pem").read_bytes(), "crl.pem")
    others = [crl for crl in before if crl.issuer != issuing.subject]
    revoked = [Revocation(os.urandom(19).hex(), now, "superseded") for _ in range(entries)]
    revoked += [
        Revocation(f"{entry.serial_number:x}", now, "superseded")
        for crl in before
        if crl not in others
        for entry in crl
    ]
    for number in range(count):
        crl = build_crl(
            issuing,
            key,
            revoked,
            number=int(now.timestamp()) + 1000 + number,
            now=now,
            lifetime=timedelta(days=9),
        )
        yield crl_to_pem(crl, *others)
