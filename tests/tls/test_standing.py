"""Whether a peer is still welcome."""

from __future__ import annotations

from datetime import timedelta

import pytest

from keystead.errors import Distrusted
from keystead.pki.names import TrustDomain
from keystead.tls.contexts import InForce
from keystead.tls.peer import recognise
from keystead.tls.standing import Standing
from tests.tls.throwaway import Environment, Pair, now


def chain_of(pair: Pair, env: Environment) -> tuple[object, ...]:
    return (pair.certificate, *pair.above, env.root.certificate)


def code(standing: Standing, in_force: InForce, *, later: timedelta = timedelta()) -> str | None:
    finding = standing.finding(in_force, (now() + later).timestamp())
    return finding.code if finding is not None else None


@pytest.fixture
def standing(dev: Environment, alice: Pair) -> Standing:
    return Standing((alice.certificate, *alice.above, dev.root.certificate))


def test_a_good_peer_is_welcome(standing: Standing, in_force: InForce) -> None:
    assert code(standing, in_force) is None
    assert code(standing, in_force) is None


def test_a_peer_expires(standing: Standing, dev: Environment, server_pair: Pair) -> None:
    lists = dev.crls(lifetime=timedelta(days=300))
    in_force = InForce.of(dev.credentials(server_pair), dev.crl_set(*lists))
    assert code(standing, in_force, later=timedelta(days=29)) is None
    assert code(standing, in_force, later=timedelta(days=31)) == "expired"


def test_a_list_beyond_the_grace_admits_nobody(standing: Standing, in_force: InForce) -> None:
    assert code(standing, in_force, later=timedelta(days=9)) is None
    assert code(standing, in_force, later=timedelta(days=11)) == "crl-stale"


def test_a_swap_is_noticed(standing: Standing, in_force: InForce, dev: Environment, alice: Pair) -> None:
    assert code(standing, in_force) is None
    server = dev.leaf("web", "server")
    later = InForce.of(dev.credentials(server), dev.crl_set(*dev.crls(alice, number=2)))
    assert code(standing, later) == "revoked"


def test_a_revoked_issuing_ca_is_noticed(standing: Standing, dev: Environment, server_pair: Pair) -> None:
    crls = dev.crl_set(*dev.crls(root_revokes=(dev.issuing,)))
    assert code(standing, InForce.of(dev.credentials(server_pair), crls)) == "revoked"


def test_a_root_that_its_own_list_names_is_noticed(
    standing: Standing, dev: Environment, server_pair: Pair
) -> None:
    """OpenSSL does not ask for the anchor."""
    crls = dev.crl_set(*dev.crls(root_revokes=(dev.root,)))
    assert code(standing, InForce.of(dev.credentials(server_pair), crls)) == "revoked"


def test_without_a_list_of_the_issuer_nobody_is_welcome(
    standing: Standing, dev: Environment, server_pair: Pair
) -> None:
    in_force = InForce.of(dev.credentials(server_pair), dev.crl_set(dev.crls()[1]))
    assert code(standing, in_force) == "crl-missing"


def test_the_peer_is_who_its_certificate_says(dev: Environment, alice: Pair) -> None:
    peer = recognise((alice.certificate, *alice.above, dev.root.certificate), dev.trust_domain)
    assert str(peer.identity) == "client/alice"
    assert peer.serial == alice.serial
    assert peer.not_after == alice.certificate.not_valid_after_utc


def test_of_a_foreign_peer_both_trust_domains_are_named(dev: Environment, alice: Pair) -> None:
    own = TrustDomain("prod.example.internal")
    with pytest.raises(Distrusted) as caught:
        recognise((alice.certificate, *alice.above, dev.root.certificate), own)
    assert caught.value.code == "foreign-domain"
    assert "dev.example.internal" in caught.value.what
    assert "prod.example.internal" in caught.value.what


@pytest.mark.parametrize("uri", ["", "spiffe://other.example.internal", "https://example.org/"])
def test_a_ca_that_is_of_no_or_another_domain_spoils_its_chain(dev: Environment, uri: str) -> None:
    issuing = dev.authority("odd", dev.root, path_length=0, uri=uri)
    leaf = dev.leaf("alice", issuer=issuing, above=(issuing,))
    with pytest.raises(Distrusted) as caught:
        recognise((leaf.certificate, issuing.certificate, dev.root.certificate), dev.trust_domain)
    assert caught.value.code in ("foreign-domain", "no-identity")


def test_a_chain_that_could_not_be_read_is_nobody(dev: Environment) -> None:
    with pytest.raises(Distrusted) as caught:
        recognise((), dev.trust_domain)
    assert caught.value.code == "malformed"
