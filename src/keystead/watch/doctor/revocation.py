"""What is wrong with a folder's revocation lists: missing, forged, out of date; and whom they name.

Not here: the anchors (`trust`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from cryptography import x509

from keystead.errors import Distrusted, KeysteadError
from keystead.pki.certificates import common_name, subject_key_id
from keystead.pki.chains import check_revocation
from keystead.pki.expiry import CRL_GRACE, in_words, when
from keystead.pki.revocation import crl_number, issuer_key, next_update
from keystead.pki.verdicts import CRL_INVALID, REVOKED
from keystead.tls.crlfile import CrlFile
from keystead.watch.doctor.checks import Check, Seen
from keystead.watch.doctor.holders import ends_soon
from keystead.watch.doctor.mends import anew, fresh_lists, here
from keystead.watch.doctor.outcomes import Warned
from keystead.watch.doctor.scene import Certificates, Scene
from keystead.watch.doctor.trust import verified_chains


def _no_lists(scene: Scene) -> Iterator[Seen]:
    if not scene.folder.crl.exists():
        yield _lists_seen(scene)


def _unreadable_lists(scene: Scene) -> Iterator[Seen]:
    if isinstance(scene.crls, KeysteadError) and scene.folder.crl.exists():
        yield _lists_seen(scene, scene.crls.why)


def _uncovered(scene: Scene) -> Iterator[Seen]:
    covered = {issuer_key(crl) for crl in scene.lists}
    for ca in dict.fromkeys(ca for _, links in verified_chains(scene) for ca in links[1:]):
        if scene.lists and subject_key_id(ca) not in covered:
            yield _lists_seen(scene, common_name(ca))


def _forged(scene: Scene) -> Iterator[Seen]:
    found = {
        error.what: None
        for _, links in verified_chains(scene)
        for error in _objections(links, scene)
        if error.code == CRL_INVALID.code
    }
    yield from (_lists_seen(scene, what) for what in found)


def _stale(scene: Scene) -> Iterator[Seen]:
    for crl in scene.lists:
        due = next_update(crl)
        if due <= scene.now:
            ago = in_words(scene.now - due)
            yield _lists_seen(scene, f"that of {_issuer(crl)} was due on {when(due)}, {ago} ago")


def _stale_soon(scene: Scene) -> Iterator[Seen]:
    for crl in scene.lists:
        due = next_update(crl)
        if ends_soon(crl.last_update_utc, due, scene.now):
            left = in_words(due - scene.now)
            yield _lists_seen(scene, f"that of {_issuer(crl)} is due on {when(due)}, in {left}")


def _from_the_future(scene: Scene) -> Iterator[Seen]:
    for crl in scene.lists:
        if crl.last_update_utc > scene.now:
            yield _lists_seen(
                scene,
                f"that of {_issuer(crl)} was made on {when(crl.last_update_utc)}; it is {when(scene.now)}",
            )


def _older(scene: Scene) -> Iterator[Seen]:
    seen = CrlFile(scene.folder.crl).numbers()
    for crl in scene.lists:
        number, highest = crl_number(crl), seen.get(issuer_key(crl), 0)
        if number < highest:
            yield _lists_seen(
                scene, f"that of {_issuer(crl)} has the number {number}, and {highest} was seen"
            )


def _revoked(scene: Scene) -> Iterator[Seen]:
    for holder, links in verified_chains(scene):
        for error in _objections(links, scene):
            if error.code == REVOKED.code:
                yield holder.seen(holder.files.certificate, error.why)


def _objections(links: Certificates, scene: Scene) -> Iterator[Distrusted]:
    """What the lists have against each certificate of a chain."""
    for certificate, issuer in pairwise(links):
        try:
            check_revocation(certificate, issuer, scene.lists, scene.now)
        except Distrusted as error:
            yield error


def _lists_seen(scene: Scene, detail: str = "") -> Seen:
    return Seen(scene.folder.crl, detail, environment=scene.environment)


def _issuer(crl: x509.CertificateRevocationList) -> str:
    return crl.issuer.rfc4514_string()


_OUT_OF_DATE = (
    "{detail}. It is taken for " + str(CRL_GRACE.days) + " days more, with a warning; then nobody gets in"
)

CHECKS: Final = (
    Check(
        "crl-missing",
        "the revocation lists",
        _no_lists,
        what="there is no {path}",
        why="without it a revoked certificate is not noticed, and serve does not start",
        mend=fresh_lists,
    ),
    Check(
        "crl-unreadable",
        "whether the revocation lists can be read",
        _unreadable_lists,
        what="{path} holds no revocation list that can be read",
        why="{detail}",
        mend=fresh_lists,
    ),
    Check(
        "crl-incomplete",
        "a list for each CA",
        _uncovered,
        what="{path} has no list of {detail}",
        why="it must hold those of both the issuing CA and the root, or nobody under them is let in",
        mend=fresh_lists,
    ),
    Check(
        "crl-forged",
        "the lists' signatures",
        _forged,
        what="{path} holds a forged list",
        why="{detail}: somebody else made it, or it is damaged",
        mend=fresh_lists,
    ),
    Check(
        "crl-stale",
        "the lists' ends",
        _stale,
        what="{path} is out of date",
        why=_OUT_OF_DATE,
        mend=fresh_lists,
    ),
    Check(
        "crl-stale-soon",
        "lists that end soon",
        _stale_soon,
        what="{path} is soon out of date",
        why="{detail}",
        mend=fresh_lists,
        weight=Warned,
    ),
    Check(
        "crl-from-the-future",
        "the lists' beginnings",
        _from_the_future,
        what="{path} is not valid yet",
        why="{detail}: this machine's clock is wrong, or the CA's was",
        mend=here("timedatectl set-ntp true"),
    ),
    Check(
        "crl-rolled-back",
        "the lists' numbers",
        _older,
        what="{path} is older than one that was in force here",
        why="{detail}: the revocations since would be lost, and serve does not take it",
        mend=fresh_lists,
    ),
    Check(
        "certificate-revoked",
        "one's own revocation",
        _revoked,
        what="{path} is revoked",
        why="{detail}",
        mend=anew,
    ),
)
"""The table."""
