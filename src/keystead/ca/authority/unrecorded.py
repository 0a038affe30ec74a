"""Revoking what this CA signed and does not know: a certificate that is younger than the restored backup.

Its file is the evidence: the issuing CA's own signature. Not here: certificates that are recorded
(`revoke`).
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509

from keystead.ca.audit.log import append, recorded_at
from keystead.ca.authority.model import Authority
from keystead.ca.inventory import reads, writes
from keystead.pki.certificates import is_ca, was_issued_by
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.revocation import KEY_COMPROMISE, Revocation
from keystead.pki.serials import serial_hex


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """A certificate that was revoked by its file: its serial number, and its key where that is barred now."""

    serial: str
    is_new: bool
    barred: str | None


def is_unrecorded(authority: Authority, certificate: x509.Certificate) -> bool:
    """Whether the issuing CA signed this leaf, and nothing of its serial number is recorded."""
    if is_ca(certificate) or not was_issued_by(certificate, authority.charter.issuing):
        return False
    with authority.inventory.reading() as tx:
        return reads.certificate(tx, serial_hex(certificate.serial_number)) is None


def revoke_unrecorded(authority: Authority, certificate: x509.Certificate, reason: str) -> Unrecorded:
    """End a certificate of which `is_unrecorded` holds, durably; every later list tells of it.

    keyCompromise bars its key for ever in every environment. What was renewed from it is not known here.
    """
    serial = serial_hex(certificate.serial_number)
    barred = None
    if reason == KEY_COMPROMISE:
        barred = Fingerprint.of_key(certificate.public_key()).hex
        authority.claims.mark_compromised([barred])
    issuer = authority.charter.issuing_serial
    with authority.inventory.writing() as tx:
        now = recorded_at(tx, authority.clock())
        is_new = serial not in {end.serial for end in reads.revoked_under(tx, issuer)}
        if is_new:
            writes.carry(tx, issuer, [Revocation(serial, now, reason)])
            told = f"{reason}, by its file: it is not recorded"
            append(tx, [authority.entry("certificate.revoke", now, "ok", serial=serial, detail=told)])
    return Unrecorded(serial, is_new, barred)
