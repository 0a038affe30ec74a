"""Policy: whether a CSR is granted, by rules that are tables, all violations at once.

Pure: the request, the wishes, the profile, the facts and the time come in; a decision or `Refused` comes
out. Not here: the rules (`requestrules`, `priorrules`), reading facts, claiming the key, signing.
"""

from __future__ import annotations

from datetime import datetime

from keystead.errors import KeysteadError, Refused, Violation
from keystead.pki import priorrules, requestrules
from keystead.pki.application import Application
from keystead.pki.csr import CertificateRequest
from keystead.pki.facts import ApprovedRequest, Decision, Facts, Grant, PriorCertificate, Repetition, Wishes
from keystead.pki.keys import PublicKey
from keystead.pki.names import Identity, TrustDomain
from keystead.pki.profiles import Profile

DEFAULT_PROFILE = "client"

RULES = (*requestrules.RULES, *priorrules.RULES)


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
    application = Application(request, identity, wishes, profile, facts, now)
    if violations := [violation for rule in RULES for violation in rule(application)]:
        raise Refused(f"{identity} is not signed", violations)
    if facts.repeated is not None and application.is_repetition:
        return Repetition(facts.repeated.serial, identity)
    return _approve(application)


def _approve(asked: Application) -> ApprovedRequest:
    live, renewed = asked.facts.live, asked.renewed
    takes_over = live is not None and not asked.holds_live_key
    renews = takes_over and renewed is not None and not asked.wishes.may_replace
    hosts_left_out = [f"SAN {text}" for text in asked.request.host_names.minus(asked.host_names)]
    public_key = asked.request.public_key
    assert isinstance(public_key, PublicKey)  # by the rule of strength
    grant = Grant(
        host_names=asked.host_names,
        lifetime=asked.lifetime,
        wishes_digest=asked.digest,
        renews=renewed.serial if renewed and renews else None,
        replaces=live.serial if live and takes_over and asked.wishes.may_replace else None,
        left_out=(*asked.request.left_out, *hosts_left_out),
        capped=(asked.wishes.lifetime or asked.profile.lifetime) > asked.lifetime,
    )
    return ApprovedRequest(asked.identity, public_key, asked.request.key_fingerprint, grant)
