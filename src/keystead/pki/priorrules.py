"""What is demanded by what was certified before: of the same key, for the same identity, in any environment.

Not here: the request by itself (`requestrules`), and reading the facts.
"""

from __future__ import annotations

from collections.abc import Iterator

from cryptography import x509

from keystead.errors import Violation
from keystead.pki.application import Application, Rule
from keystead.pki.expiry import when


def _crossing(asked: Application) -> Iterator[Violation]:
    own = asked.identity.environment
    if asked.facts.compromised:
        yield Violation(
            "compromised-key",
            f"its key {asked.request.key_fingerprint} is barred for ever: it was reported as compromised",
            "make a new key on the subscriber's machine: keystead csr NAME",
        )
    if asked.facts.claimed_by not in (None, own):
        yield Violation(
            "foreign-key",
            f"its key belongs to the environment {asked.facts.claimed_by!r}, and this is {own!r}",
            f"each environment has keys of its own: make one for {own} in another folder (csr --dir DIR)",
        )


def _renewal(asked: Application) -> Iterator[Violation]:
    proof, renewed, live = asked.request.proof, asked.facts.renewed, asked.facts.live
    if proof is None or asked.is_repetition or asked.holds_live_key or asked.overrules_proof:
        return
    again = "make a new request: keystead csr NAME --renew; or let an operator decide: --replace --profile P"
    if proof.trust_domain != asked.facts.trust_domain:
        yield Violation(
            "foreign-renewal",
            f"it renews a certificate of {proof.trust_domain},"
            f" and this is the CA of {asked.facts.trust_domain}",
            f"have it signed by the CA of {proof.trust_domain}; each environment has keys of its own",
        )
        return
    if renewed is None or asked.facts.renewed_der is None:
        yield Violation("bad-proof", f"it renews {proof.serial}, which this CA never issued", again)
        return
    old_key = x509.load_der_x509_certificate(asked.facts.renewed_der).public_key()
    if not proof.is_by(old_key, asked.facts.trust_domain, asked.request.public_key):
        yield Violation("bad-proof", f"the key of {renewed.serial} did not sign its renewal proof", again)
    if renewed.identity != asked.identity:
        yield Violation(
            "foreign-identity",
            f"it renews {renewed.identity}, and would be {asked.identity}",
            f"sign it as what it is: --profile {renewed.identity.profile} --name {renewed.identity.name}",
        )
    if renewed.revoked is not None:
        yield Violation("revoked", f"the certificate that it renews, {renewed.serial}, is revoked", again)
    elif not renewed.is_good(asked.now):
        ended = when(renewed.not_after)
        yield Violation("expired", f"the certificate that it renews, {renewed.serial}, ended {ended}", again)
    elif live is None or live.serial != renewed.serial:
        newest = live.serial if live else "nothing"
        yield Violation("superseded", f"{renewed.serial} is superseded by {newest} and renews nothing", again)
    if asked.wishes.host_names is None and (more := asked.host_names.minus(renewed.host_names)):
        yield Violation(
            "more-sans",
            f"it asks for {', '.join(more)}, which the certificate renewed does not have",
            "a renewal gets the same or fewer; if more is right, name them all: --san HOST",
        )


def _liveness(asked: Application) -> Iterator[Violation]:
    live = asked.facts.live
    if live is None or asked.holds_live_key or asked.is_repetition:
        return
    if asked.wishes.may_replace or asked.request.proof is not None:
        return  # a proof is judged by the rule of renewal
    yield Violation(
        "live-key",
        f"{asked.identity} has a live certificate of another key"
        f" ({live.serial}, until {when(live.not_after)})",
        "renew it with a proof (keystead csr NAME --renew), or revoke it at once: --replace",
    )


def _one_owner(asked: Application) -> Iterator[Violation]:
    owner = asked.facts.of_key
    if owner is None or owner.identity == asked.identity or not owner.is_good(asked.now):
        return
    meant = f"if {owner.identity} is meant: --profile {owner.identity.profile}; else "
    is_namesake = owner.identity.name == asked.identity.name
    yield Violation(
        "key-in-use",
        f"its key is live for {owner.identity} ({owner.serial}), and would be for {asked.identity} too",
        f"{meant if is_namesake else ''}make a key for each: keystead csr NAME",
    )


def _repetition(asked: Application) -> Iterator[Violation]:
    held = asked.facts.of_key
    if held is None or held.identity != asked.identity or asked.wishes.may_reissue or asked.is_repetition:
        return
    same_csr = held.csr_fingerprint == asked.request.fingerprint
    if held.revoked is not None:
        yield Violation(
            "revoked",
            f"this key's certificate {held.serial} was revoked ({held.revoked})",
            "make a new key and CSR; or, if the same key is to be trusted again: --reissue",
        )
    elif not held.is_good(asked.now) or not asked.holds_live_key:
        return
    elif same_csr and held.wishes_digest != asked.digest:
        yield Violation(
            "other-wishes",
            f"this CSR has the certificate {held.serial} already, and now another profile, name, SAN or"
            " lifetime is asked for",
            "if that is meant: --reissue",
        )
    elif not same_csr and held.has_a_third_left(asked.now):
        yield Violation(
            "live-key",
            f"this key has the certificate {held.serial} already, until {when(held.not_after)}",
            "if another one is meant: --reissue",
        )
    elif more := asked.host_names.minus(held.host_names):
        yield Violation(
            "more-sans",
            f"it asks for {', '.join(more)}, which its certificate {held.serial} does not have",
            "if that is meant: --reissue",
        )


RULES: tuple[Rule, ...] = (
    _crossing,
    _renewal,
    _liveness,
    _one_owner,
    _repetition,
)
