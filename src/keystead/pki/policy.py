"""Policy: whether a CSR is granted, by rules that are a table, all violations at once.

Pure: the request, the wishes, the profile, the facts and the time come in; a decision or `Refused` comes
out. Not here: reading facts, claiming the key, signing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from keystead.errors import KeysteadError, Refused, Violation
from keystead.pki.csr import CertificateRequest
from keystead.pki.expiry import when
from keystead.pki.facts import (
    ApprovedRequest,
    Decision,
    Facts,
    Grant,
    PriorCertificate,
    Repetition,
    Wishes,
    wishes_digest,
)
from keystead.pki.keys import PublicKey, describe, is_experimental, weaknesses
from keystead.pki.names import HostNames, Identity, TrustDomain
from keystead.pki.profiles import PURPOSES, Profile

DEFAULT_PROFILE = "client"

_PURPOSE_NAMES = {oid: name for name, oid in PURPOSES.items()}
_NO_HOSTS = HostNames()
_PROFILE_FOR = {"serverAuth": "server", "clientAuth": "client"}


def resolve(
    common_name: str | None, wishes: Wishes, renewed: PriorCertificate | None, trust_domain: TrustDomain
) -> Identity:
    """Whom the certificate would be for: what is wished, what is renewed, what the CSR says, in this order.

    Raises `Refused` where none of them gives a NAME, or the NAME is none.
    """
    profile = wishes.profile or (renewed and renewed.identity.profile) or DEFAULT_PROFILE
    name = wishes.name or (renewed and renewed.identity.name) or common_name
    if not name:
        raise Refused(
            "the CSR names nobody",
            [Violation("no-name", "its subject has no single CN", "name it: --name NAME")],
        )
    try:
        return Identity(trust_domain, profile, name)
    except KeysteadError as error:
        option = ": --name NAME" if error.code == "bad-name" else ""
        raise Refused(error.what, [Violation("bad-name", error.why, error.mend + option)]) from None


def check(
    request: CertificateRequest,
    identity: Identity,
    wishes: Wishes,
    profile: Profile,
    facts: Facts,
    now: datetime,
) -> Decision:
    """Grant ``request`` for ``identity`` (from `resolve`), or raise `Refused` with every rule it breaks.

    The same CSR with the same wishes is answered by a `Repetition` while more than a third of the recorded
    certificate's life is left.
    """
    question = _Question(request, identity, wishes, profile, facts, now)
    if violations := [violation for rule in _RULES for violation in rule(question)]:
        raise Refused(f"{identity} is not signed", violations)
    if facts.repeated is not None and question.is_repetition:
        return Repetition(facts.repeated.serial, identity)
    return _approve(question)


@dataclass(frozen=True, slots=True)
class _Question:
    request: CertificateRequest
    identity: Identity
    wishes: Wishes
    profile: Profile
    facts: Facts
    now: datetime

    @property
    def renewed(self) -> PriorCertificate | None:
        """The certificate that is renewed, where a proof names it."""
        return self.facts.renewed if self.request.proof is not None else None

    @property
    def asked_host_names(self) -> HostNames:
        """What the operator names, else what the CSR asks for, else what the renewed certificate has."""
        if self.wishes.host_names is not None:
            return self.wishes.host_names
        if self.request.host_names or self.renewed is None:
            return self.request.host_names
        return self.renewed.host_names

    @property
    def host_names(self) -> HostNames:
        """What the certificate would cover."""
        if self.wishes.host_names is None and not self.profile.wants_hosts:
            return _NO_HOSTS
        return self.asked_host_names

    @property
    def lifetime(self) -> timedelta:
        return min(self.wishes.lifetime or self.profile.lifetime, self.profile.max_lifetime)

    @property
    def digest(self) -> str:
        return wishes_digest(self.identity, self.host_names, self.lifetime)

    @property
    def is_repetition(self) -> bool:
        """Whether this very CSR has a good certificate with just these wishes, with life enough left."""
        repeated = self.facts.repeated
        return (
            repeated is not None
            and not self.wishes.may_reissue
            and repeated.is_good(self.now)
            and repeated.has_a_third_left(self.now)
            and repeated.wishes_digest == self.digest
        )

    @property
    def overrules_proof(self) -> bool:
        """Whether the operator takes the identity over without asking what the proof is worth.

        Where the proof would choose the profile, replacing is not enough: anybody can write a serial number.
        """
        return self.wishes.may_replace and (self.wishes.profile is not None or self.facts.renewed is None)

    @property
    def holds_live_key(self) -> bool:
        """Whether the CSR's key is the identity's live one."""
        live = self.facts.live
        return live is not None and live.key_fingerprint == self.request.key_fingerprint.hex


_Rule = Callable[[_Question], Iterator[Violation]]


def _possession(q: _Question) -> Iterator[Violation]:
    if not q.request.proves_possession:
        yield Violation(
            "no-possession",
            "the CSR's signature was not made by the key that it holds",
            "make the CSR again, on the machine that has the key: keystead csr NAME",
        )


def _strength(q: _Question) -> Iterator[Violation]:
    yield from weaknesses(q.request.public_key)
    if is_experimental(q.request.public_key) and not q.profile.post_quantum:
        yield Violation(
            "experimental-key",
            f"the profile {q.profile.name} takes no keys of the experimental type"
            f" {describe(q.request.public_key)}",
            "make another: keystead csr NAME --key-type p256;"
            " or set post-quantum = true in a profile of ca.toml",
        )


def _expectation(q: _Question) -> Iterator[Violation]:
    fingerprint = q.request.key_fingerprint
    if q.wishes.expect is not None and not fingerprint.matches(q.wishes.expect):
        yield Violation(
            "unexpected-key",
            f"the CSR's key has the fingerprint {fingerprint}, not the one expected",
            "the CSR may have been exchanged on its way: compare by telephone with what `csr` printed",
        )


def _authority(q: _Question) -> Iterator[Violation]:
    if q.request.wants_ca:
        yield Violation("wants-ca", "it asks to be a CA (CA:TRUE)", "make the CSR without CA:TRUE")
    for uri in q.request.uris:
        if uri != q.identity.uri:
            yield Violation(
                "foreign-identity",
                f"it asks for the identity {uri!r}, and would be {q.identity.uri!r}",
                "make the CSR without a URI SAN: the CA sets it",
            )


def _purpose(q: _Question) -> Iterator[Violation]:
    for oid in sorted(q.request.purposes - q.profile.purposes, key=lambda oid: oid.dotted_string):
        name = _PURPOSE_NAMES.get(oid, oid.dotted_string)
        fitting = _PROFILE_FOR.get(name)
        yield Violation(
            "wrong-purpose",
            f"it asks for the extended key usage {name}, which the profile {q.profile.name} does not grant",
            f"if that is right: --profile {fitting}" if fitting else "make the CSR without it",
        )


def _hosts(q: _Question) -> Iterator[Violation]:
    profile = q.profile
    if not profile.wants_hosts:
        if q.wishes.host_names:
            yield Violation(
                "bad-san",
                f"the profile {profile.name} covers no hosts, and --san names {q.wishes.host_names}",
                "sign without --san, or with --profile server",
            )
        return
    if q.wishes.host_names is None:
        for text in q.request.bad_host_names:
            yield Violation(
                "bad-san", f"its SAN {text!r} is no DNS name", "name its hosts yourself: --san HOST"
            )
    if profile.needs_host and not q.host_names:
        yield Violation(
            "no-san",
            f"the profile {profile.name} needs at least one host name, and the CSR has none",
            "name one: --san HOST (clients compare it with what they connect to; the CN is not looked at)",
        )
    if not profile.wildcards:
        for wildcard in q.host_names.wildcards:
            yield Violation(
                "wildcard",
                f"the profile {profile.name} grants no wildcard such as {wildcard}",
                "name each host, or set wildcards = true in a profile of ca.toml",
            )
    if outside := profile.outside(q.host_names):
        yield Violation(
            "bad-san",
            f"the profile {profile.name} does not grant {', '.join(outside)}",
            f"widen dns or ips of [profiles.{profile.name}] in ca.toml, or leave them out",
        )


def _crossing(q: _Question) -> Iterator[Violation]:
    own = q.identity.environment
    if q.facts.compromised:
        yield Violation(
            "compromised-key",
            f"its key {q.request.key_fingerprint} is barred for ever: it was reported as compromised",
            "make a new key on the subscriber's machine: keystead csr NAME",
        )
    if q.facts.claimed_by not in (None, own):
        yield Violation(
            "foreign-key",
            f"its key belongs to the environment {q.facts.claimed_by!r}, and this is {own!r}",
            f"each environment has keys of its own: make one for {own} in another folder (csr --dir DIR)",
        )


def _renewal(q: _Question) -> Iterator[Violation]:
    proof, renewed, live = q.request.proof, q.facts.renewed, q.facts.live
    if proof is None or q.is_repetition or q.holds_live_key or q.overrules_proof:
        return
    again = "make a new request: keystead csr NAME --renew; or let an operator decide: --replace --profile P"
    if proof.trust_domain != q.facts.trust_domain:
        yield Violation(
            "foreign-renewal",
            f"it renews a certificate of {proof.trust_domain}, and this is the CA of {q.facts.trust_domain}",
            f"have it signed by the CA of {proof.trust_domain}; each environment has keys of its own",
        )
        return
    if renewed is None or q.facts.renewed_der is None:
        yield Violation("bad-proof", f"it renews {proof.serial}, which this CA never issued", again)
        return
    old_key = x509.load_der_x509_certificate(q.facts.renewed_der).public_key()
    if not proof.is_by(old_key, q.facts.trust_domain, q.request.public_key):
        yield Violation("bad-proof", f"the key of {renewed.serial} did not sign its renewal proof", again)
    if renewed.identity != q.identity:
        yield Violation(
            "foreign-identity",
            f"it renews {renewed.identity}, and would be {q.identity}",
            f"sign it as what it is: --profile {renewed.identity.profile} --name {renewed.identity.name}",
        )
    if renewed.revoked is not None:
        yield Violation("revoked", f"the certificate that it renews, {renewed.serial}, is revoked", again)
    elif not renewed.is_good(q.now):
        ended = when(renewed.not_after)
        yield Violation("expired", f"the certificate that it renews, {renewed.serial}, ended {ended}", again)
    elif live is None or live.serial != renewed.serial:
        newest = live.serial if live else "nothing"
        yield Violation("superseded", f"{renewed.serial} is superseded by {newest} and renews nothing", again)
    if q.wishes.host_names is None and (more := q.host_names.minus(renewed.host_names)):
        yield Violation(
            "more-sans",
            f"it asks for {', '.join(more)}, which the certificate renewed does not have",
            "a renewal gets the same or fewer; if more is right, name them all: --san HOST",
        )


def _liveness(q: _Question) -> Iterator[Violation]:
    live = q.facts.live
    if live is None or q.holds_live_key or q.is_repetition:
        return
    if q.wishes.may_replace or q.request.proof is not None:
        return  # a proof is judged by the rule of renewal
    yield Violation(
        "live-key",
        f"{q.identity} has a live certificate of another key ({live.serial}, until {when(live.not_after)})",
        "renew it with a proof (keystead csr NAME --renew), or revoke it at once: --replace",
    )


def _one_owner(q: _Question) -> Iterator[Violation]:
    owner = q.facts.of_key
    if owner is None or owner.identity == q.identity or not owner.is_good(q.now):
        return
    meant = f"if {owner.identity} is meant: --profile {owner.identity.profile}; else "
    yield Violation(
        "key-in-use",
        f"its key is live for {owner.identity} ({owner.serial}), and would be for {q.identity} too",
        f"{meant if owner.identity.name == q.identity.name else ''}make a key for each: keystead csr NAME",
    )


def _repetition(q: _Question) -> Iterator[Violation]:
    held = q.facts.of_key
    if held is None or held.identity != q.identity or q.wishes.may_reissue or q.is_repetition:
        return
    same_csr = held.csr_fingerprint == q.request.fingerprint
    if held.revoked is not None:
        yield Violation(
            "revoked",
            f"this key's certificate {held.serial} was revoked ({held.revoked})",
            "make a new key and CSR; or, if the same key is to be trusted again: --reissue",
        )
    elif not held.is_good(q.now) or not q.holds_live_key:
        return
    elif same_csr and held.wishes_digest != q.digest:
        yield Violation(
            "other-wishes",
            f"this CSR has the certificate {held.serial} already, and now another profile, name, SAN or"
            " lifetime is asked for",
            "if that is meant: --reissue",
        )
    elif not same_csr and held.has_a_third_left(q.now):
        yield Violation(
            "live-key",
            f"this key has the certificate {held.serial} already, until {when(held.not_after)}",
            "if another one is meant: --reissue",
        )
    elif more := q.host_names.minus(held.host_names):
        yield Violation(
            "more-sans",
            f"it asks for {', '.join(more)}, which its certificate {held.serial} does not have",
            "if that is meant: --reissue",
        )


_RULES: tuple[_Rule, ...] = (
    _possession,
    _strength,
    _expectation,
    _authority,
    _purpose,
    _hosts,
    _crossing,
    _renewal,
    _liveness,
    _one_owner,
    _repetition,
)


def _approve(q: _Question) -> ApprovedRequest:
    live, renewed = q.facts.live, q.renewed
    takes_over = live is not None and not q.holds_live_key
    renews = takes_over and renewed is not None and not q.wishes.may_replace
    hosts_left_out = [f"SAN {text}" for text in q.request.host_names.minus(q.host_names)]
    public_key = q.request.public_key
    assert isinstance(public_key, PublicKey)  # by the rule of strength
    grant = Grant(
        host_names=q.host_names,
        lifetime=q.lifetime,
        wishes_digest=q.digest,
        renews=renewed.serial if renewed and renews else None,
        replaces=live.serial if live and takes_over and q.wishes.may_replace else None,
        left_out=(*q.request.left_out, *hosts_left_out),
        capped=(q.wishes.lifetime or q.profile.lifetime) > q.lifetime,
    )
    return ApprovedRequest(q.identity, public_key, q.request.key_fingerprint, grant)


def purposes_in_words(purposes: Iterable[x509.ObjectIdentifier]) -> str:
    """Extended key usages for people: ``clientAuth, serverAuth``."""
    return ", ".join(sorted(_PURPOSE_NAMES.get(oid, oid.dotted_string) for oid in purposes)) or "any"
