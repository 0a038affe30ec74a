"""What is wrong with whom a folder trusts: anchors, environments, revocation lists.

Not here: the subscriber's own files (`holders`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cryptography import x509

from keystead.errors import Distrusted, KeysteadError
from keystead.pki.certificates import common_name, identity_of, trust_domain_of_ca
from keystead.pki.chains import verify
from keystead.pki.names import TrustDomain
from keystead.watch.doctor.checks import Check, Seen
from keystead.watch.doctor.mends import another_root, here, other_root, signed_again
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


def verified_chains(scene: Scene) -> Iterator[tuple[Holder, Certificates]]:
    """The chains of the folder that hang from one of its anchors, leaf first and anchor last."""
    for holder in _chained(scene):
        for root in _roots_of(holder, scene):
            yield holder, (*holder.certificates, root)


def _needed(scene: Scene) -> Certificates:
    return tuple(dict.fromkeys(links[-1] for _, links in verified_chains(scene)))


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
)
"""The table."""
