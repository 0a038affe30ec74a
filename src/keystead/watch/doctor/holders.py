"""What is wrong with a subscriber's own key and certificate: missing, not a pair, incomplete, ended.

Not here: the files' modes and encodings (`storage`), anchors and revocation (`trust`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from cryptography import x509

from keystead.errors import KeysteadError
from keystead.pki.certificates import common_name, extended_key_usages, host_names, is_ca, issuer_name
from keystead.pki.expiry import CLOCK_TOLERANCE, in_words, when
from keystead.pki.keys import weaknesses
from keystead.subscriber.hostnames import own_names
from keystead.subscriber.roles import Role
from keystead.watch.doctor.checks import Check, Seen
from keystead.watch.doctor.mends import anew, covering, here, renewed, signed_again
from keystead.watch.doctor.outcomes import Warned
from keystead.watch.doctor.scene import Holder, Scene

SOON: Final = timedelta(days=14)
"""An end is spoken of this early, but never before two thirds of the time are over."""

_TOLD_ELSEWHERE: Final = frozenset({"encrypted-key"})
_PURPOSES: Final = frozenset(role.purpose for role in Role)


def ends_soon(start: datetime, end: datetime, now: datetime) -> bool:
    """Whether what is good from ``start`` to ``end`` is good now, and not for long."""
    return now < end <= now + min(SOON, (end - start) / 3)


def _without_key(scene: Scene) -> Iterator[Seen]:
    for holder in scene.holders:
        if not holder.files.key.exists():
            yield holder.seen(holder.files.key)


def _unreadable_keys(scene: Scene) -> Iterator[Seen]:
    for holder in scene.holders:
        if isinstance(holder.key, KeysteadError) and _is_damage(holder):
            yield holder.seen(holder.files.key, holder.key.why or holder.key.what)


def _is_damage(holder: Holder) -> bool:
    if isinstance(holder.key, KeysteadError):
        is_told = holder.key.code in _TOLD_ELSEWHERE
        return holder.files.key.exists() and not is_told and not _begins_as_der(holder)
    return False


def _begins_as_der(holder: Holder) -> bool:
    with holder.files.key.open("rb") as file:
        return file.read(1) == b"\x30"


def _weak_keys(scene: Scene) -> Iterator[Seen]:
    for holder in scene.holders:
        if not isinstance(holder.key, KeysteadError):
            for weakness in weaknesses(holder.key.public_key()):
                yield holder.seen(holder.files.key, weakness.what)


def _without_certificate(scene: Scene) -> Iterator[Seen]:
    for holder in _with_key(scene):
        if not holder.files.certificate.exists():
            yield holder.seen(holder.files.certificate)


def _unreadable_certificates(scene: Scene) -> Iterator[Seen]:
    for holder in _with_key(scene):
        if isinstance(holder.chain, KeysteadError) and holder.files.certificate.exists():
            yield holder.seen(holder.files.certificate, holder.chain.why)


def _with_key(scene: Scene) -> Iterator[Holder]:
    """Those whose key is sound: where it is not, a new one brings a new certificate, too."""
    yield from (holder for holder in scene.holders if not isinstance(holder.key, KeysteadError))


def _strangers(scene: Scene) -> Iterator[Seen]:
    for holder in scene.holders:
        if holder.certificates and not isinstance(holder.key, KeysteadError):
            public_key = holder.key.public_key()
            if all(found.public_key() != public_key for found in holder.certificates):
                yield holder.seen(holder.files.certificate, common_name(holder.certificates[0]))


def _disordered(scene: Scene) -> Iterator[Seen]:
    for holder in scene.holders:
        found = holder.certificates
        is_linked = all(lower.issuer == upper.subject for lower, upper in pairwise(found))
        starts_with_ca = bool(found) and is_ca(found[0]) and not all(map(is_ca, found))
        if (found and not is_linked) or starts_with_ca:
            names = ", ".join(common_name(certificate) or "?" for certificate in found)
            yield holder.seen(holder.files.certificate, names)


def _incomplete(scene: Scene) -> Iterator[Seen]:
    known = {root.subject for root in scene.roots}
    for holder in scene.holders:
        found = holder.certificates
        subjects = {certificate.subject for certificate in found} | known
        missing = [each for each in found if each.issuer not in subjects]
        if scene.roots and holder.is_pair and missing and not any(map(is_ca, found)):
            yield holder.seen(holder.files.certificate, issuer_name(missing[0]))


def _ended(scene: Scene) -> Iterator[Seen]:
    for holder, leaf in _leaves(scene):
        if leaf.not_valid_after_utc <= scene.now:
            ago = in_words(scene.now - leaf.not_valid_after_utc)
            yield holder.seen(holder.files.certificate, f"{when(leaf.not_valid_after_utc)}, {ago} ago")


def _ending(scene: Scene) -> Iterator[Seen]:
    for holder, leaf in _leaves(scene):
        end = leaf.not_valid_after_utc
        if ends_soon(leaf.not_valid_before_utc, end, scene.now) and not holder.files.new_key.exists():
            yield holder.seen(holder.files.certificate, f"{when(end)}, in {in_words(end - scene.now)}")


def _not_begun(scene: Scene) -> Iterator[Seen]:
    for holder, leaf in _leaves(scene):
        if leaf.not_valid_before_utc > scene.now + CLOCK_TOLERANCE:
            begins = f"it begins on {when(leaf.not_valid_before_utc)}, and it is {when(scene.now)} here"
            yield holder.seen(holder.files.certificate, begins)


def _purposeless(scene: Scene) -> Iterator[Seen]:
    for holder, leaf in _leaves(scene):
        if extended_key_usages(leaf).isdisjoint(_PURPOSES):
            yield holder.seen(holder.files.certificate)


def _unfinished(scene: Scene) -> Iterator[Seen]:
    for holder in scene.holders:
        if holder.files.new_key.exists():
            yield holder.seen(holder.files.new_key)


def _elsewhere(scene: Scene) -> Iterator[Seen]:
    servers = [
        (holder, leaf) for holder, leaf in _leaves(scene) if Role.SERVER.purpose in extended_key_usages(leaf)
    ]
    if not servers:
        return
    own = own_names().host_names.texts
    for holder, leaf in servers:
        covered = host_names(leaf).texts
        if set(own).isdisjoint(covered) and not any(host.startswith("*.") for host in covered):
            there = (
                f"it covers {', '.join(covered) or 'no host at all'}, and this machine is {', '.join(own)}"
            )
            yield holder.seen(holder.files.certificate, there, hosts=(*covered, *own))


def _leaves(scene: Scene) -> Iterator[tuple[Holder, x509.Certificate]]:
    for holder in scene.holders:
        if holder.is_pair:
            yield holder, holder.certificates[0]


CHECKS: Final = (
    Check(
        "key-missing",
        "a key for each certificate",
        _without_key,
        what="there is no {path}",
        why="a certificate is of use only with its key, which never leaves the machine that made it: the"
        " folder was copied without it, or it was deleted",
        mend=anew,
    ),
    Check(
        "key-unreadable",
        "whether keys can be read",
        _unreadable_keys,
        what="{path} holds no private key that can be read",
        why="{detail}",
        mend=anew,
    ),
    Check(
        "key-weak",
        "the strength of keys",
        _weak_keys,
        what="{path} is too weak",
        why="{detail}",
        mend=anew,
    ),
    Check(
        "certificate-missing",
        "a certificate for each key",
        _without_certificate,
        what="there is no {path} yet",
        why="the CSR of its key was not signed, or what the CA gave back was not installed",
        mend=signed_again,
    ),
    Check(
        "certificate-unreadable",
        "whether certificates can be read",
        _unreadable_certificates,
        what="{path} holds no certificate that can be read",
        why="{detail}",
        mend=signed_again,
    ),
    Check(
        "key-mismatch",
        "whether key and certificate belong together",
        _strangers,
        what="{path} does not belong to the key beside it",
        why="it is the certificate of {detail}, by another key",
        mend=signed_again,
    ),
    Check(
        "chain-order",
        "the order of each chain",
        _disordered,
        what="the certificates in {path} are in the wrong order",
        why="the subscriber's own comes first, then its CA (RFC 8446, section 4.4.2); there are: {detail}",
        mend=here("keystead install {path} --dir {folder}"),
    ),
    Check(
        "chain-incomplete",
        "whether each chain reaches the root",
        _incomplete,
        what="{path} lacks the certificate of its CA",
        why="it was issued by {detail}, which is neither in it nor in ca.crt: the other side cannot know it",
        mend=signed_again,
    ),
    Check(
        "certificate-expired",
        "the ends of certificates",
        _ended,
        what="{path} has expired",
        why="it ended on {detail}",
        mend=anew,
    ),
    Check(
        "certificate-ends-soon",
        "what ends soon",
        _ending,
        what="{path} ends soon",
        why="it ends on {detail}",
        mend=renewed,
        weight=Warned,
    ),
    Check(
        "certificate-not-yet-valid",
        "the beginnings of certificates",
        _not_begun,
        what="{path} is not valid yet",
        why="{detail}: this machine's clock is wrong, or the CA's was",
        mend=here("timedatectl set-ntp true"),
    ),
    Check(
        "certificate-without-purpose",
        "what certificates are for",
        _purposeless,
        what="{path} is good for neither a client nor a server",
        why="its extended key usage names neither clientAuth nor serverAuth (RFC 5280, section 4.2.1.12)",
        mend=anew,
    ),
    Check(
        "renewal-unfinished",
        "renewals under way",
        _unfinished,
        what="a renewal was begun and not finished: {path} is still there",
        why="the pair in use is the old one until the renewed certificate is installed",
        mend=renewed,
        weight=Warned,
    ),
    Check(
        "server-not-this-host",
        "the hosts of servers' certificates",
        _elsewhere,
        what="{path} is not for this machine",
        why="{detail}: clients that connect by one of these names refuse it. If the folder was copied from"
        " another machine, make a key of its own here instead: keystead csr NAME --profile server",
        mend=covering,
        weight=Warned,
    ),
)
"""The table."""
