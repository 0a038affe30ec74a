"""Chains: the default is good, each case breaks one thing (RFC 5280, section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from cryptography import x509

from keystead.errors import Distrusted
from keystead.pki.chains import VerifiedChain, verify
from keystead.pki.issuance import Issuer, make_issuing_ca
from keystead.pki.names import TrustDomain
from tests.pki.makers import DAY, DOMAIN, NOW, Ca, identity, key

CA = Ca()
DEV = Ca(TrustDomain("dev.example.internal"))
LEAF = CA.leaf("alice", lifetime=90 * DAY)
Crls = Sequence[x509.CertificateRevocationList]


def check(
    leaf: x509.Certificate = LEAF,
    *,
    issuing: x509.Certificate = CA.issuing.certificate,
    anchors: Sequence[x509.Certificate] = (CA.root.certificate,),
    now: datetime = NOW,
    crls: Crls | None = None,
) -> VerifiedChain:
    return verify(leaf, [issuing], anchors, now=now, crls=crls)


def refusal(**parts: object) -> str:
    with pytest.raises(Distrusted) as refused:
        check(**parts)  # type: ignore[arg-type]
    assert refused.value.what
    assert refused.value.why
    return refused.value.code


def test_a_good_chain_tells_whose_it_is() -> None:
    chain = check(crls=CA.crls())
    assert chain.certificates == (LEAF, CA.issuing.certificate, CA.root.certificate)
    assert chain.identity == identity("alice")
    assert chain.trust_domain == DOMAIN
    assert chain.leaf == LEAF


def test_a_foreign_anchor_is_an_unknown_ca() -> None:
    assert refusal(anchors=[DEV.root.certificate]) == "unknown-ca"


def test_without_its_issuing_ca_a_leaf_has_no_path() -> None:
    assert refusal(issuing=DEV.issuing.certificate) == "unknown-ca"


def test_without_any_anchor_nothing_is_trusted() -> None:
    assert refusal(anchors=[]) == "unknown-ca"


def test_a_leaf_is_no_anchor() -> None:
    assert refusal(anchors=[LEAF]) == "unknown-ca"


def test_an_intermediate_alone_is_no_anchor() -> None:
    assert refusal(anchors=[CA.issuing.certificate]) == "unknown-ca"


def test_an_expired_leaf_is_refused_with_its_date() -> None:
    assert refusal(now=NOW + 91 * DAY) == "expired"
    with pytest.raises(Distrusted) as refused:
        check(now=NOW + 91 * DAY)
    assert "2027-02-22" in refused.value.why


def test_an_expired_ca_is_refused_and_named() -> None:
    with pytest.raises(Distrusted, match=r"CA certificate of .*issuing"):
        check(CA.leaf("late", now=NOW + 1000 * DAY), now=CA.issuing.certificate.not_valid_after_utc + DAY)


def test_a_certificate_of_tomorrow_is_refused() -> None:
    assert refusal(now=NOW - timedelta(hours=1)) == "not-yet-valid"


def test_a_clock_five_minutes_behind_is_forgiven() -> None:
    check(now=NOW - timedelta(minutes=5))


def test_an_issuing_ca_of_the_same_name_with_another_key_is_refused() -> None:
    twin = make_issuing_ca("Example", DOMAIN, key("twin").public_key(), CA.root, serial=99, now=NOW)
    assert refusal(issuing=twin) in {"bad-signature", "unknown-ca"}


def test_a_leaf_of_another_trust_domain_is_refused_under_an_anchor_added_by_hand() -> None:
    mixed = Ca(TrustDomain("dev.example.internal"))
    mixed.issuing = CA.issuing  # the CA of prod signs a leaf that says dev
    assert refusal(leaf=mixed.leaf("alice")) == "foreign-domain"


def test_an_issuing_ca_of_another_trust_domain_than_its_root_is_refused() -> None:
    mixed = Ca(TrustDomain("dev.example.internal"))
    mixed.root = CA.root
    assert refusal(leaf=mixed.leaf("alice"), issuing=mixed.issuing.certificate) == "foreign-domain"


def test_a_path_through_a_leaf_is_refused() -> None:
    mallory = CA.leaf("mallory")
    forged = Ca()
    forged.issuing = Issuer(mallory, key("mallory"), CA.authorship)
    with pytest.raises(Distrusted) as refused:
        verify(forged.leaf("bob"), [mallory, CA.issuing.certificate], [CA.root.certificate], now=NOW)
    assert refused.value.code in {"bad-path", "wrong-purpose", "unknown-ca"}


# Revocation


def test_a_revoked_leaf_is_refused_and_told_when() -> None:
    assert refusal(crls=CA.crls(LEAF)) == "revoked"


def test_a_revoked_issuing_ca_takes_its_leaves_along() -> None:
    crls = [CA.crl(CA.issuing), CA.crl(CA.root, CA.issuing.certificate)]
    assert refusal(crls=crls) == "revoked"


def test_a_list_that_names_another_serial_clears() -> None:
    check(crls=[CA.crl(CA.issuing, CA.leaf("bob")), CA.crl(CA.root)])


@pytest.mark.parametrize("missing", [0, 1], ids=["issuing", "root"])
def test_the_list_of_each_ca_must_be_there(missing: int) -> None:
    crls = [crl for place, crl in enumerate(CA.crls()) if place != missing]
    assert refusal(crls=crls) == "crl-missing"


def test_no_lists_at_all_are_refused_and_none_asked_for_leaves_revocation_alone() -> None:
    assert refusal(crls=[]) == "crl-missing"
    check(crls=None)


def test_the_list_of_a_foreign_ca_is_none() -> None:
    assert refusal(crls=DEV.crls()) == "crl-missing"


def test_a_list_that_somebody_else_signed_is_refused() -> None:
    forged = CA.crl(Issuer(CA.issuing.certificate, key("mallory"), CA.authorship))
    assert refusal(crls=[forged, CA.crl(CA.root)]) == "crl-invalid"


def test_a_forged_list_beside_the_true_one_hides_nothing() -> None:
    forged = CA.crl(Issuer(CA.issuing.certificate, key("mallory"), CA.authorship), number=99)
    assert refusal(crls=[forged, *CA.crls(LEAF)]) == "revoked"


GRACE = timedelta(days=7)


def test_a_stale_list_is_used_within_its_grace_and_still_revokes() -> None:
    now = NOW + timedelta(days=30) + GRACE
    check(crls=CA.crls(lifetime=timedelta(days=30)), now=now)
    assert refusal(crls=CA.crls(LEAF, lifetime=timedelta(days=30)), now=now) == "revoked"


def test_beyond_its_grace_a_stale_list_clears_nobody() -> None:
    crls = CA.crls(lifetime=timedelta(days=30))
    assert refusal(crls=crls, now=NOW + timedelta(days=37, seconds=1)) == "crl-stale"


def test_beyond_its_grace_a_stale_list_still_revokes() -> None:
    crls = [CA.crl(CA.issuing, LEAF, lifetime=DAY), CA.crl(CA.root)]
    assert refusal(crls=crls, now=NOW + 20 * DAY) == "revoked"
