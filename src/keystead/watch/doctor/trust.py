"""What is wrong with whom a folder trusts: anchors, environments, revocation lists.

Not here: the subscriber's own files (`holders`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Final

from cryptography import x509

from keystead.errors import Distrusted, KeysteadError
from keystead.pki.certificates import common_name, identity_of, subject_key_id, trust_domain_of_ca
from keystead.pki.chains import check_revocation, verify
from keystead.pki.expiry import CRL_GRACE, in_words, when
from keystead.pki.names import TrustDomain
from keystead.pki.revocation import crl_number, issuer_key, next_update
from keystead.pki.verdicts import CRL_INVALID, REVOKED
from keystead.tls.crlfile import CrlFile
from keystead.watch.doctor.checks import Check, Seen
from keystead.watch.doctor.holders import ends_soon
from keystead.watch.doctor.mends import anew, another_root, fresh_lists, here, other_root, signed_again
from keystead.watch.doctor.outcomes import Warned
from keystead.watch.doctor.scene import Certificates, Holder, Scene

_KEEP = (
    "awk '/-----BEGIN/{{n++}} n=={detail}' {path} > {path}.kept && cat {path}.kept > {path} && rm {path}.kept"
)
"""Keep the one anchor of that number; into the same file, so that owner and mode stay."""


def _no_anchor(scene: Scene) -> Iterator[Seen]:
    if not scene.folder.ca.exists():
        yield from (holder.seen(scene.folder.ca) for holder in scene.holders[:1])


def _unreadable_anchors(scene: Scene) -> Iterator[Seen]:
    if isinstance(scene.anchors, KeysteadError) and scene.folder.ca.exists():
        yield from (holder.seen(scene.folder.ca, scene.anchors.why) for holder in scene.holders[:1])


def _other_anchor(scene: Scene) -> Iterator[Seen]:
    for holder in _chained(scene):
        if not _roots_of(holder, scene):
            found = ", ".join(sorted({_domain(root) for root in scene.roots}))
            own = identity_of(holder.certificates[0]).trust_domain
            yield holder.seen(
                scene.folder.ca, f"it trusts {found}, and {holder.files.certificate} is of {own}"
            )


def _more_anchors(scene: Scene) -> Iterator[Seen]:
    own = {domain for holder in scene.holders for domain in _domain_of(holder)}
    foreign = [root for root in scene.roots if _domain(root) not in own]
    needed = _needed(scene)
    if needed and foreign and len(scene.roots) > 1:
        yield Seen(scene.folder.ca, str(scene.roots.index(needed[0]) + 1), name=_domain(foreign[0]))


def _several_anchors(scene: Scene) -> Iterator[Seen]:
    needed = _needed(scene)
    if len(scene.roots) > 1 and len(needed) == 1 and len({_domain(root) for root in scene.roots}) == 1:
        yield Seen(scene.folder.ca, str(scene.roots.index(needed[0]) + 1))


def _no_lists(scene: Scene) -> Iterator[Seen]:
    if not scene.folder.crl.exists():
        yield _lists_seen(scene)


def _unreadable_lists(scene: Scene) -> Iterator[Seen]:
    if isinstance(scene.crls, KeysteadError) and scene.folder.crl.exists():
        yield _lists_seen(scene, scene.crls.why)


def _uncovered(scene: Scene) -> Iterator[Seen]:
    covered = {issuer_key(crl) for crl in scene.lists}
    for ca in _issuers(scene):
        if scene.lists and subject_key_id(ca) not in covered:
            yield _lists_seen(scene, common_name(ca))


def _forged(scene: Scene) -> Iterator[Seen]:
    for verified in _verified(scene):
        for certificate, issuer in pairwise(verified):
            try:
                check_revocation(certificate, issuer, scene.lists, scene.now)
            except Distrusted as error:
                if error.code == CRL_INVALID.code:
                    yield _lists_seen(scene, common_name(issuer))


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
    for holder in _chained(scene):
        for root in _roots_of(holder, scene)[:1]:
            links = (*holder.certificates, root)
            for certificate, issuer in pairwise(links):
                try:
                    check_revocation(certificate, issuer, scene.lists, scene.now)
                except Distrusted as error:
                    if error.code == REVOKED.code:
                        yield holder.seen(holder.files.certificate, error.why)


def _lists_seen(scene: Scene, detail: str = "") -> Seen:
    return Seen(scene.folder.crl, detail, environment=scene.environment)


def _issuer(crl: x509.CertificateRevocationList) -> str:
    return crl.issuer.rfc4514_string()


def _chained(scene: Scene) -> Iterator[Holder]:
    """Whose certificates could be trusted: of a known identity, and a chain that lacks the root alone."""
    for holder in scene.holders:
        if scene.roots and holder.is_pair and len(holder.certificates) > 1 and _domain_of(holder):
            yield holder


def _roots_of(holder: Holder, scene: Scene) -> Certificates:
    """The anchors that the chain hangs from at the time when its leaf was good."""
    leaf, *above = holder.certificates
    then = min(max(scene.now, leaf.not_valid_before_utc), leaf.not_valid_after_utc)
    try:
        return verify(leaf, above, scene.roots, now=then).certificates[-1:]
    except Distrusted:
        return ()


def _verified(scene: Scene) -> Iterator[Certificates]:
    for holder in _chained(scene):
        for root in _roots_of(holder, scene):
            yield (*holder.certificates, root)


def _issuers(scene: Scene) -> dict[x509.Certificate, None]:
    return dict.fromkeys(chain.from_iterable(verified[1:] for verified in _verified(scene)))


def _needed(scene: Scene) -> Certificates:
    return tuple(dict.fromkeys(verified[-1] for verified in _verified(scene)))


def _domain(root: x509.Certificate) -> str:
    try:
        return str(trust_domain_of_ca(root))
    except KeysteadError:
        return f"{common_name(root) or 'a CA'} (not keystead's)"


def _domain_of(holder: Holder) -> tuple[str, ...]:
    try:
        domains: tuple[TrustDomain, ...] = tuple(identity_of(leaf).trust_domain for leaf in holder.leaf)
    except KeysteadError:
        return ()
    return tuple(map(str, domains))


_OUT_OF_DATE = (
    "{detail}. It is taken for " + str(CRL_GRACE.days) + " days more, with a warning; then nobody gets in"
)

CHECKS: Final = (
    Check(
        "anchor-missing",
        "the trust anchor",
        _no_anchor,
        what="there is no {path}",
        why="it holds the CA certificate by which the other side is recognised",
        mend=signed_again,
    ),
    Check(
        "anchor-unreadable",
        "whether the trust anchor can be read",
        _unreadable_anchors,
        what="{path} holds no certificate that can be read",
        why="{detail}",
        mend=another_root,
    ),
    Check(
        "anchor-of-another-environment",
        "whether the certificates hang from the trust anchor",
        _other_anchor,
        what="{path} is not the CA that issued the certificate here",
        why="{detail}: nothing crosses between environments",
        mend=other_root,
    ),
    Check(
        "foreign-anchor-added",
        "environments among the trust anchors",
        _more_anchors,
        what="{path} also trusts another environment: {name}",
        why="somebody added its CA; each environment has a folder and an anchor of its own",
        mend=here(_KEEP),
    ),
    Check(
        "several-anchors",
        "the number of trust anchors",
        _several_anchors,
        what="{path} trusts more than the one CA that is needed here",
        why="but for the time of a change of CAs, one root is enough: number {detail} in the file",
        mend=here(_KEEP),
        weight=Warned,
    ),
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
        what="the list of {detail} in {path} was not signed by it",
        why="somebody else made it, or it is damaged",
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
