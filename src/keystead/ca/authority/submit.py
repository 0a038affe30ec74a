"""Submitting: from bytes that a stranger sent to a parsed request; a private key among them is barred.

Not here: whether the request is granted (`decide`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from keystead.ca.audit.entry import Entry
from keystead.ca.audit.log import append, recorded_at
from keystead.ca.authority.model import Authority
from keystead.errors import KeysteadError
from keystead.pki import csr
from keystead.pki.csr import CertificateRequest
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.leaks import holds_private_key, leaked_keys
from keystead.pki.policy import DEFAULT_PROFILE


class PrivateKeyReceived(KeysteadError):
    """A private key was handed in, alone or in the CSR's own file; its public fingerprints, if readable."""

    code = "private-key"

    def __init__(self, source: str, fingerprints: frozenset[Fingerprint] = frozenset()) -> None:
        self.fingerprints = fingerprints
        barred = (
            f"the key {', '.join(sorted(map(str, fingerprints)))} is barred from now on in every environment"
            if fingerprints
            else "it is encrypted or unreadable, so its public half is unknown and nothing could be barred"
        )
        super().__init__(
            f"{source} holds a PRIVATE KEY: it must now be treated as compromised",
            why=f"a private key never leaves the machine that made it; {barred}, and nothing of it was kept",
            mend="delete every copy, make a new key where it belongs (keystead csr NAME), send only NAME.csr;"
            " revoke what the key has: keystead ca revoke NAME --reason keyCompromise",
        )


@dataclass(frozen=True)
class Examined:
    """A parsed request as far as its facts are found by it: small enough to cross from a worker."""

    common_name: str | None
    key_fingerprint: str
    csr_fingerprint: str
    renews: str | None


def examine(data: bytes, source: str) -> CertificateRequest:
    """The request in ``data``; raises `PrivateKeyReceived` or `BadInput`. Pure."""
    if holds_private_key(data):
        raise PrivateKeyReceived(source, leaked_keys(data))
    return csr.parse(data, source)


def asked_profile(request: CertificateRequest) -> str:
    """The shipped profile that the CSR's extended key usages ask for: what an operator is shown."""
    return "server" if request.wants_server else DEFAULT_PROFILE


def summary(request: CertificateRequest) -> Examined:
    """What `decide` looks facts up by."""
    return Examined(
        common_name=request.common_name,
        key_fingerprint=request.key_fingerprint.hex,
        csr_fingerprint=request.fingerprint,
        renews=request.proof.serial if request.proof is not None else None,
    )


def bar_leaked(authority: Authority, examined: Iterable[Examined | KeysteadError]) -> None:
    """Bar the private keys among what was handed in, in every environment; durable on return."""
    leaked = frozenset(
        fingerprint.hex
        for error in examined
        if isinstance(error, PrivateKeyReceived)
        for fingerprint in error.fingerprints
    )
    if leaked:
        authority.claims.mark_compromised(leaked)


def audit_refusals(authority: Authority, refusals: Iterable[tuple[str, KeysteadError]]) -> None:
    """Put every refusal into the audit log: pairs of the source's name and the error."""
    found = list(refusals)
    if not found:
        return
    with authority.inventory.writing() as tx:
        now = recorded_at(tx, authority.clock())
        append(tx, [_entry(authority, now, source, error) for source, error in found])


def _entry(authority: Authority, now: datetime, source: str, error: KeysteadError) -> Entry:
    return authority.entry(
        "certificate.refuse", now, error.code, detail=f"{source}: {error.what}; {error.why}"
    )
