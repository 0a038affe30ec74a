"""The revocation lists that are in force, as one value: which may replace which, and who is on them.

Pure; times and known numbers are arguments. Not here: the file they lie in (`tls.crlfile`), and the check
of a whole chain at the handshake, which is OpenSSL's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from cryptography import x509

from keystead.errors import BadInput, Distrusted, KeysteadError
from keystead.pki.certificates import authority_key_id, common_name, subject_key_id
from keystead.pki.expiry import when
from keystead.pki.revocation import crl_number, crl_to_pem, issuer_key

_PARTIAL = (x509.DeltaCRLIndicator, x509.IssuingDistributionPoint)
"""Extensions of lists that are not the whole list of their issuer (RFC 5280, sections 5.2.4 and 5.2.5)."""


@dataclass(frozen=True, slots=True, eq=False)
class ListInForce:
    """One issuer's list, and what is asked of it often.

    ``verified`` is whether its issuer is known here and signed it; a list of an issuer that only a peer's
    chain brings is verified by OpenSSL at each handshake, and by its number nothing is remembered.
    """

    crl: x509.CertificateRevocationList
    issuer: bytes
    number: int
    this_update: datetime
    next_update: datetime
    serials: frozenset[int]
    verified: bool


@dataclass(frozen=True, slots=True, eq=False)
class CrlSet:
    """The newest list of each issuer (by its key identifier)."""

    lists: Mapping[bytes, ListInForce]

    @property
    def crls(self) -> tuple[x509.CertificateRevocationList, ...]:
        """The lists themselves."""
        return tuple(entry.crl for entry in self.lists.values())

    def pem(self) -> bytes:
        """All of them as PEM, for whoever wants to know too."""
        return crl_to_pem(*self.crls)

    def numbers(self) -> dict[bytes, int]:
        """Issuer → number, of the lists whose signature was verified here."""
        return {issuer: entry.number for issuer, entry in self.lists.items() if entry.verified}

    def revoked(self, issuer: bytes, serial: int) -> bool:
        """Whether the issuer's list names ``serial``; False where there is no list of it."""
        entry = self.lists.get(issuer)
        return entry is not None and serial in entry.serials

    def covers(self, issuer: bytes) -> bool:
        """Whether there is a list of this issuer."""
        return issuer in self.lists

    def stale(self, now: datetime) -> tuple[ListInForce, ...]:
        """Those of known issuers past their nextUpdate: anybody can add one of an issuer of their own."""
        return tuple(entry for entry in self.lists.values() if entry.verified and entry.next_update <= now)

    def usable_until(self, issuers: Iterable[bytes], grace: timedelta) -> float:
        """Unix seconds until which the lists of ``issuers`` let anybody in: first nextUpdate, and ``grace``.

        Long past where there is no list of one of them.
        """
        found = [self.lists.get(issuer) for issuer in issuers]
        first = min((entry.next_update.timestamp() if entry else 0.0 for entry in found), default=0.0)
        return first + grace.total_seconds()


NO_CRLS = CrlSet(MappingProxyType({}))
"""Where one begins."""


@dataclass(frozen=True, slots=True)
class Advance:
    """What became of a handful of lists: the set now in force, and why some were not taken."""

    crls: CrlSet
    refusals: tuple[KeysteadError, ...]


def advance(
    current: CrlSet,
    found: Iterable[x509.CertificateRevocationList],
    *,
    authorities: Iterable[x509.Certificate],
    floors: Mapping[bytes, int],
    now: datetime,
) -> Advance:
    """Take the newer ones of ``found`` into ``current``, issuer by issuer; what is not taken stays as it was.

    ``floors`` is the highest number ever seen per issuer, ``authorities`` the CAs whose signature can be
    checked here. Never taken: a lower number, a signature that a known issuer did not make, a list from the
    future, and one that is not the whole list of its issuer.
    """
    known = {subject_key_id(authority): authority for authority in authorities}
    lists = dict(current.lists)
    refusals: list[KeysteadError] = []
    for crl in sorted(found, key=crl_number):
        in_force = lists.get(issuer_key(crl))
        if in_force is not None and in_force.crl == crl:
            continue
        try:
            entry = _examine(crl, known.get(issuer_key(crl)), now)
            if in_force is not None and entry.verified and not in_force.verified:
                in_force = None  # whose number anybody may have made up
            _check_number(entry, in_force, floors.get(entry.issuer, 0))
        except KeysteadError as refusal:
            refusals.append(refusal)
        else:
            lists[entry.issuer] = entry
    return Advance(CrlSet(MappingProxyType(lists)), tuple(refusals))


def _examine(
    crl: x509.CertificateRevocationList, issuer: x509.Certificate | None, now: datetime
) -> ListInForce:
    name = _name(crl)
    if any(isinstance(extension.value, _PARTIAL) for extension in crl.extensions):
        raise BadInput(f"{name} is not the whole list of its issuer", code="bad-crl")
    if crl.next_update_utc is None:
        raise BadInput(
            f"{name} does not say until when it is good", why="it has no nextUpdate", code="bad-crl"
        )
    if crl.last_update_utc > now:
        raise Distrusted(
            f"{name} is not valid yet",
            why=f"its thisUpdate is {when(crl.last_update_utc)}, and the clock here says {when(now)}",
            mend="set the clock right",
            code="crl-not-yet-valid",
        )
    if issuer is not None and not _is_signed_by(crl, issuer):
        raise Distrusted(f"{name} carries a signature that its issuer did not make", code="crl-invalid")
    return ListInForce(
        crl=crl,
        issuer=issuer_key(crl),
        number=crl_number(crl),
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        serials=frozenset(entry.serial_number for entry in crl),
        verified=issuer is not None,
    )


def _is_signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    if crl.issuer != issuer.subject:
        return False
    try:
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # others raise TypeError
    except TypeError:
        return False


def _check_number(entry: ListInForce, in_force: ListInForce | None, floor: int) -> None:
    highest = max(floor, in_force.number if in_force is not None else 0)
    if entry.number < highest:
        raise Distrusted(
            f"{_name(entry.crl)} is older than one that was in force here",
            why=f"its number is {entry.number}, and {highest} was seen: the revocations since would be lost",
            mend="take the newest crl.pem from the CA: keystead ca crl --out crl.pem   (there)",
            code="crl-rollback",
        )
    if in_force is not None and entry.number == in_force.number:
        raise Distrusted(
            f"{_name(entry.crl)} has the number of the one in force and says something else",
            why=f"both are number {entry.number}, and a CA uses a number once (RFC 5280, section 5.2.3)",
            mend="make a fresh one: keystead ca crl   (on the CA's machine)",
            code="crl-rollback",
        )


def _name(crl: x509.CertificateRevocationList) -> str:
    return f"the revocation list of {crl.issuer.rfc4514_string()}"


def issuer_id(certificate: x509.Certificate) -> bytes:
    """The key identifier of whoever issued ``certificate``; a root's own, where it names no issuer."""
    return authority_key_id(certificate) or subject_key_id(certificate)


def uncovered(crls: CrlSet, authorities: Iterable[x509.Certificate]) -> tuple[str, ...]:
    """The names of the CAs of which there is no list; nobody under one of them gets in."""
    return tuple(common_name(ca) for ca in authorities if not crls.covers(subject_key_id(ca)))
