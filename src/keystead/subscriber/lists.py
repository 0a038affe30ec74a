"""Which revocation lists a folder holds after an install: of each issuer the newest, proved by the chain.

Not here: the lists in force while serving (`tls.crls`, whose rule of what may replace what is used here).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.errors import BadInput, Distrusted, KeysteadError
from keystead.pki.certificates import subject_key_id
from keystead.pki.chains import VerifiedChain, check_revocation
from keystead.pki.expiry import when
from keystead.pki.origins import issuer_names, owner
from keystead.pki.revocation import issuer_key
from keystead.pki.verdicts import FOREIGN_DOMAIN
from keystead.subscriber.folder import read_crls
from keystead.subscriber.layout import Folder
from keystead.tls.crls import NO_CRLS, CrlSet, advance

Crl = x509.CertificateRevocationList

_ROLLBACK = "crl-rollback"


@dataclass(frozen=True, slots=True)
class TakenLists:
    """The lists to write, None where they are in place; ``remarks`` are warnings."""

    pem: bytes | None
    remarks: tuple[str, ...]


def take(
    folder: Folder, given: tuple[Crl, ...], chain: VerifiedChain, now: datetime, *, afresh: bool
) -> TakenLists:
    """Add ``given`` to the folder's lists, and check the whole chain against what comes of it.

    ``afresh`` leaves out those in place: they belong to another root. A list that is older than the one in
    place is not taken, with a remark. Raises `Distrusted` for a revoked certificate, and for lists that are
    forged, of other CAs alone, missing for one of the issuers, or stale beyond the grace.
    """
    authorities = chain.certificates[1:]
    _check_concern(given, chain)
    there, broken = _in_place(folder, has_others=bool(given))
    kept = () if afresh else there
    in_place = advance(NO_CRLS, kept, authorities=authorities, floors={}, now=now)
    taken = advance(in_place.crls, given, authorities=authorities, floors={}, now=now)
    for refusal in taken.refusals:
        if refusal.code != _ROLLBACK:
            raise _unusable(refusal)
    older = [f"{refusal.what}: it is not taken, {folder.crl} stays" for refusal in taken.refusals]
    dropped = [f"{refusal.what}: it is taken out of {folder.crl}" for refusal in in_place.refusals]
    crls = taken.crls.crls
    if not crls:
        missing = (
            f"no revocation list came with it, and there is none at {folder.crl}: who was revoked cannot be"
            " told here; take crl.pem from the CA too (--crl crl.pem)"
        )
        return TakenLists(None, (*broken, missing))
    for certificate, issuer in pairwise(chain.certificates):
        check_revocation(certificate, issuer, crls, now)
    return TakenLists(
        pem=taken.crls.pem() if _ders(crls) != _ders(there) else None,
        remarks=(*broken, *older, *dropped, *_stale(taken.crls, now)),
    )


def _check_concern(given: tuple[Crl, ...], chain: VerifiedChain) -> None:
    """At least one list must be of a CA of the chain; those of others are kept beside, for other chains."""
    ours = {subject_key_id(authority) for authority in chain.certificates[1:]}
    if given and ours.isdisjoint(map(issuer_key, given)):
        raise Distrusted(
            f"the revocation list that came is none for {chain.identity.uri}",
            why=f"it is that of {issuer_names(given)}, and the CA here is {owner(chain.certificates[1])}",
            mend="take crl.pem from the CA that signed it: keystead ca crl --out crl.pem   (there)",
            code=FOREIGN_DOMAIN.code,
        )


def _unusable(refusal: KeysteadError) -> Distrusted:
    return Distrusted(
        refusal.what,
        why=refusal.why or "it is damaged, or somebody else made it",
        mend=refusal.mend or "take crl.pem from the CA again: keystead ca crl --out crl.pem   (there)",
        code=refusal.code,
    )


def _in_place(folder: Folder, *, has_others: bool) -> tuple[tuple[Crl, ...], tuple[str, ...]]:
    try:
        return read_crls(folder.crl) or (), ()
    except BadInput as error:
        if not has_others:
            raise
        return (), (f"{error.what}: it is replaced",)


def _stale(crls: CrlSet, now: datetime) -> list[str]:
    return [
        f"the revocation list of {entry.crl.issuer.rfc4514_string()} was due for renewal on"
        f" {when(entry.next_update)}: take a fresh crl.pem from the CA"
        for entry in crls.stale(now)
    ]


def _ders(crls: Iterable[Crl]) -> frozenset[bytes]:
    return frozenset(crl.public_bytes(Encoding.DER) for crl in crls)
