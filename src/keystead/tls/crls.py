"""The revocation lists that are in force, as one value: which may replace which, and who is on them.

Pure; times and known numbers are arguments. Not here: the file they lie in (`tls.crlfile`), and the check
of a whole chain at the handshake (`tls.judge`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType

from cryptography import x509
from cryptography.x509.oid import ExtensionOID
from OpenSSL.crypto import X509Store

from keystead.errors import BadInput, Distrusted, KeysteadError
from keystead.pki.certificates import authority_key_id, common_name, subject_key_id
from keystead.pki.expiry import when
from keystead.pki.revocation import crl_number, issuer_key
from keystead.pki.signedlists import Pause, SignedList, no_pause

_PARTIAL = (x509.DeltaCRLIndicator, x509.IssuingDistributionPoint)
"""Extensions of lists that are not the whole list of their issuer (RFC 5280, sections 5.2.4 and 5.2.5)."""


@dataclass(frozen=True, slots=True, eq=False)
class ListInForce:
    """One issuer's list, and what is asked of it often.

    ``signer`` is the CA that is known here and signed it. It is None for a list of an issuer that only a
    peer's chain brings: OpenSSL verifies it at each handshake, and by its number nothing is remembered.
    """

    signed: SignedList
    issuer: bytes
    number: int
    this_update: datetime
    next_update: datetime
    serials: frozenset[int]
    signer: x509.Certificate | None
    pem: bytes

    @property
    def crl(self) -> x509.CertificateRevocationList:
        """The list itself."""
        return self.signed.crl

    @property
    def verified(self) -> bool:
        """Whether its issuer is known here and signed it."""
        return self.signer is not None


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
        return b"".join(entry.pem for entry in self.lists.values())

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
    """`advance_signed` for those who have the lists in their parsed form only."""
    signed = map(SignedList.of, found)
    return advance_signed(current, signed, authorities=authorities, floors=floors, now=now)


def advance_signed(
    current: CrlSet,
    found: Iterable[SignedList],
    *,
    authorities: Iterable[x509.Certificate],
    floors: Mapping[bytes, int],
    now: datetime,
    pause: Pause = no_pause,
) -> Advance:
    """Take the newer ones of ``found`` into ``current``, issuer by issuer; what is not taken stays as it was.

    Where nothing is taken, the set is ``current`` itself. ``floors`` is the highest number ever seen per
    issuer, ``authorities`` the CAs whose signature can be checked here; ``pause`` is called between small
    steps. Never taken: a lower number, a signature that a known issuer did not make, a list from the future,
    and one that is not the whole list of its issuer or has a critical extension, which nobody may pass over.
    Of an issuer that is not known here, the last in ``found`` replaces what anybody may have made up.
    """
    known = {subject_key_id(authority): authority for authority in authorities}
    lists, taken = dict(current.lists), False
    refusals: list[KeysteadError] = []
    for signed in _in_turn(found, known):
        issuer = issuer_key(signed.crl)
        in_force = lists.get(issuer)
        if in_force is not None and in_force.signed.der == signed.der:
            continue
        try:
            entry = _readable(signed, known.get(issuer), now, pause)
            if in_force is not None and not in_force.verified:
                in_force = None  # whose number anybody may have made up
            _check_number(entry, in_force, floors.get(entry.issuer, 0))
        except KeysteadError as refusal:
            refusals.append(refusal)
        else:
            lists[entry.issuer], taken = entry, True
    return Advance(CrlSet(MappingProxyType(lists)) if taken else current, tuple(refusals))


def _in_turn(found: Iterable[SignedList], known: Container[bytes]) -> list[SignedList]:
    """The lists of each known issuer by their numbers, and those of others as they came, of each the last."""
    strangers: dict[bytes, SignedList] = {}
    ours: list[SignedList] = []
    for signed in found:
        issuer = issuer_key(signed.crl)
        if issuer in known:
            ours.append(signed)
        else:
            strangers[issuer] = signed
    return [*sorted(ours, key=lambda signed: crl_number(signed.crl)), *strangers.values()]


def _readable(
    signed: SignedList, issuer: x509.Certificate | None, now: datetime, pause: Pause
) -> ListInForce:
    try:
        if issuer is None:
            X509Store().add_crl(signed.crl)  # which a context will do, with the good ones beside it
        return _examine(signed, issuer, now, pause)
    except KeysteadError:
        raise
    except Exception:  # noqa: BLE001  anybody's octets: the errors of both parsers are of many types
        raise BadInput(f"{_name(signed.crl)} cannot be read", why="it is damaged", code="bad-crl") from None


def _examine(signed: SignedList, issuer: x509.Certificate | None, now: datetime, pause: Pause) -> ListInForce:
    crl, name = signed.crl, _name(signed.crl)
    if issuer is not None and not (_may_sign_lists(issuer) and signed.is_signed_by(issuer)):
        raise Distrusted(f"{name} carries a signature that its issuer did not make", code="crl-invalid")
    if any(isinstance(extension.value, _PARTIAL) for extension in crl.extensions):
        raise BadInput(f"{name} is not the whole list of its issuer", code="bad-crl")
    if _has_critical_extension(crl) or signed.has_critical_entry(pause):
        raise BadInput(
            f"{name} has a critical extension that is not known here",
            why="whoever does not know it must not rely on the list (RFC 5280, section 5.2)",
            code="bad-crl",
        )
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
    return ListInForce(
        signed=signed,
        issuer=issuer_key(crl),
        number=crl_number(crl),
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        serials=signed.serials(pause),
        signer=issuer,
        pem=signed.pem(pause),
    )


def _has_critical_extension(crl: x509.CertificateRevocationList) -> bool:
    """Any but the one by which the issuer is told, as in OpenSSL."""
    return any(
        extension.critical and extension.oid != ExtensionOID.AUTHORITY_KEY_IDENTIFIER
        for extension in crl.extensions
    )


def _may_sign_lists(issuer: x509.Certificate) -> bool:
    """RFC 5280, section 6.3.3, (f): where the CA's key usage is limited, lists must be among it."""
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


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


@lru_cache(maxsize=256)
def issuer_id(certificate: x509.Certificate) -> bytes:
    """The key identifier of whoever issued ``certificate``; a root's own, where it names no issuer.

    Remembered, for it is asked at each new connection.
    """
    return authority_key_id(certificate) or subject_key_id(certificate)


def uncovered(crls: CrlSet, authorities: Iterable[x509.Certificate]) -> tuple[str, ...]:
    """The names of the CAs of which there is no list; nobody under one of them gets in."""
    return tuple(common_name(ca) for ca in authorities if not crls.covers(subject_key_id(ca)))
