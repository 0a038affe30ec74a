"""The last published revocation lists: whether they are this CA's, and what they tell of.

They are what keeps a restored inventory from undoing the revocations that came after the backup. Not here:
recording them (`restore`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from cryptography import x509

from keystead.ca.authority.model import Charter
from keystead.errors import BadInput, Distrusted
from keystead.pki.certificates import common_name, subject_key_id
from keystead.pki.revocation import REASONS, Revocation, crl_number, issuer_key, load_crls
from keystead.pki.serials import serial_hex

Crl = x509.CertificateRevocationList

_UNSPECIFIED = "unspecified"
_WHERE = "take the newest crl.pem, from a server (SERVER:certs/crl.pem) or from a client (certs/crl.pem)"


def read_published(data: bytes, source: str, charter: Charter) -> tuple[Crl, ...]:
    """The lists in ``data``, each verified to be the issuing CA's or the root's; ``source`` is their file.

    Raises `BadInput` where there are none, `Distrusted`, naming both CAs, where one is another's.
    """
    try:
        lists = load_crls(data, source)
    except BadInput as error:
        raise BadInput(error.what, why=error.why, mend=_WHERE, code=error.code) from None
    for crl in lists:
        _check(crl, source, charter)
    if not any(crl.issuer == charter.issuing.subject for crl in lists):
        raise Distrusted(
            f"{source} does not hold the list of {common_name(charter.issuing)!r}",
            why="whom the issuing CA has revoked stands in that one",
            mend=_WHERE,
            code="crl-missing",
        )
    return lists


def _check(crl: Crl, source: str, charter: Charter) -> None:
    for ca in (charter.issuing, charter.root):
        key = ca.public_key()
        if issuer_key(crl) == subject_key_id(ca) and crl.issuer == ca.subject:
            if crl.is_signature_valid(key):  # type: ignore[arg-type] # a CA's key is one that signs
                return
            raise Distrusted(
                f"{source} is forged or damaged: {common_name(ca)!r} did not sign its list",
                mend=_WHERE,
                code="bad-signature",
            )
    theirs = crl.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    name = str(theirs[0].value) if theirs else crl.issuer.rfc4514_string()
    ours = (common_name(charter.issuing), common_name(charter.root))
    raise Distrusted(
        f"{source} holds a list of {name!r}, and the archive is of {ours[0]!r}",
        why="these are two CAs of one name, with different keys"
        if name in ours
        else "it comes from another environment, or from another CA",
        mend=_WHERE,
        code="foreign-crl",
    )


def newest(archived: Sequence[Crl], published: Sequence[Crl], source: str) -> tuple[Crl, ...]:
    """One list of each issuer: the published one, or the archive's where none was published.

    Raises `Distrusted` where a published one is older than the archive's: it is not the last one then.
    """
    chosen = {issuer_key(crl): crl for crl in sorted(archived, key=crl_number)}
    for crl in sorted(published, key=crl_number):
        there = chosen.get(issuer_key(crl))
        if there is not None and crl_number(crl) < crl_number(there):
            raise Distrusted(
                f"{source} is older than the backup, and so not the last list that was published",
                why=f"its number is {crl_number(crl)}, and the backup has {crl_number(there)}",
                mend=f"{_WHERE}; if no newer one was ever published: --without-crl",
                code="crl-rollback",
            )
        chosen[issuer_key(crl)] = crl
    return tuple(chosen.values())


def revocations_on(lists: Iterable[Crl], issuer: x509.Certificate) -> tuple[Revocation, ...]:
    """What the lists of ``issuer`` tell of, each serial once."""
    found = {
        entry.serial_number: entry
        for crl in lists
        if issuer_key(crl) == subject_key_id(issuer)
        for entry in crl
    }
    return tuple(
        Revocation(serial_hex(serial), _moment(entry), _reason(entry)) for serial, entry in found.items()
    )


def _moment(entry: x509.RevokedCertificate) -> datetime:
    return entry.revocation_date_utc.astimezone(UTC)


def _reason(entry: x509.RevokedCertificate) -> str:
    with suppress(x509.ExtensionNotFound, ValueError):
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
        return reason if reason in REASONS else _UNSPECIFIED
    return _UNSPECIFIED
