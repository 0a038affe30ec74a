"""Publishing: what is revoked becomes a CRL, signed, recorded and in its file.

Not here: revoking (`revoke`), and how a list reaches those who check it (`tls.crls`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509

from keystead.ca.audit.log import append, check_clock
from keystead.ca.authority.model import Authority, Books, Charter
from keystead.ca.inventory import reads, writes
from keystead.ca.inventory.rows import Crl
from keystead.errors import BadInput
from keystead.machine.files import PUBLIC, read_bounded, write_atomic
from keystead.pki.certificates import subject_key_id
from keystead.pki.issuance import Issuer
from keystead.pki.revocation import (
    MAX_CRL_OCTETS,
    build_crl,
    crl_number,
    crl_to_pem,
    issuer_key,
    load_crls,
    next_number,
    next_update,
)
from keystead.pki.serials import serial_hex

ROOT_CRL_LIFETIME = timedelta(days=365)
OFFLINE_CRL_LIFETIME = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class PublishedCrl:
    """A list that was published, and how many certificates it names."""

    crl: x509.CertificateRevocationList
    entries: int


def publish(authority: Authority, issuers: Sequence[Issuer]) -> tuple[PublishedCrl, ...]:
    """Make a fresh CRL of each of ``issuers``, record it, and put all into ``crl.pem``.

    The lists of issuers that are not named stay as they are. Raises `Unavailable` where the clock went back.
    """
    with authority.inventory.writing() as tx:
        now = authority.clock()
        check_clock(tx, now)
        there = _in_the_file(authority.charter, issuers)
        made = []
        for issuer in issuers:
            serial = serial_hex(issuer.certificate.serial_number)
            last = reads.last_crl(tx, serial)
            entries = reads.revoked_under(tx, serial)
            number = next_number(max(last.number if last else 0, _shown(there, issuer)), now)
            crl = build_crl(
                issuer.certificate,
                issuer.key,
                entries,
                number=number,
                now=now,
                lifetime=_lifetime(authority, issuer),
            )
            writes.add_crl(tx, Crl(serial, number, crl.last_update_utc, next_update(crl)))
            append(tx, [authority.entry("crl.publish", now, "ok", serial=serial, detail=f"number {number}")])
            made.append(PublishedCrl(crl, len(entries)))
        # Inside the transaction: whoever publishes next must find this file, or this never happened.
        renewed = {issuer_key(item.crl) for item in made}
        lists = [*(item.crl for item in made), *(crl for crl in there if issuer_key(crl) not in renewed)]
        write_atomic(authority.charter.crl_path, crl_to_pem(*lists), PUBLIC)
    return tuple(made)


def _lifetime(authority: Authority, issuer: Issuer) -> timedelta:
    is_root = issuer.certificate == authority.charter.root
    return ROOT_CRL_LIFETIME if is_root else OFFLINE_CRL_LIFETIME


def _in_the_file(charter: Charter, renewing: Sequence[Issuer]) -> tuple[x509.CertificateRevocationList, ...]:
    try:
        return current(charter) if charter.crl_path.exists() else ()
    except BadInput:
        # A damaged file is mended by fresh lists of both; with one of them the other would be lost.
        if {issuer.certificate for issuer in renewing} >= {charter.issuing, charter.root}:
            return ()
        raise


def _shown(lists: Sequence[x509.CertificateRevocationList], issuer: Issuer) -> int:
    """The number of the issuer's list among ``lists``, 0 where there is none.

    It may be beyond what is recorded: a kill between the file and the commit leaves the file alone, and
    whoever has taken that list accepts no lower number.
    """
    key_id = subject_key_id(issuer.certificate)
    public_key = issuer.key.public_key()
    numbers = (
        crl_number(crl) for crl in lists if issuer_key(crl) == key_id and crl.is_signature_valid(public_key)
    )
    return max(numbers, default=0)


def current(charter: Charter) -> tuple[x509.CertificateRevocationList, ...]:
    """The lists in ``crl.pem``."""
    path = charter.crl_path
    return load_crls(read_bounded(path, MAX_CRL_OCTETS), str(path))


def is_behind(books: Books) -> bool:
    """Whether a revocation is recorded that the issuing CA's list does not show."""
    listed = {entry.serial_number for crl in _of_the_issuing_ca(books.charter) for entry in crl}
    with books.inventory.reading() as tx:
        revoked = reads.revoked_under(tx, books.charter.issuing_serial)
    return not {int(entry.serial, 16) for entry in revoked} <= listed


def is_cut_short(authority: Authority) -> bool:
    """Whether a run was killed on its way to the issuing CA's list.

    It lacks a revocation that is recorded then, or has itself a number that is not.
    """
    with authority.inventory.reading() as tx:
        last = reads.last_crl(tx, authority.charter.issuing_serial)
    recorded = last.number if last else 0
    shown = max(map(crl_number, _of_the_issuing_ca(authority.charter)), default=0)
    return shown > recorded or is_behind(authority)


def _of_the_issuing_ca(charter: Charter) -> list[x509.CertificateRevocationList]:
    key_id = subject_key_id(charter.issuing)
    return [crl for crl in current(charter) if issuer_key(crl) == key_id]
