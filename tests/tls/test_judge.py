"""Who gets in is the same whether the lists are looked into here or by OpenSSL."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL, crypto

import keystead.tls.openssl as private
from keystead.pki.certificates import subject_key_id
from keystead.pki.names import TrustDomain
from keystead.tls.contexts import InForce
from keystead.tls.crls import NO_CRLS, CrlSet, advance
from keystead.tls.judge import CRL_HAS_EXPIRED, CRL_MISSING, CRL_NOT_YET_VALID, GOOD, REVOKED, Judge
from keystead.tls.openssl import can_judge
from tests.tls.doors import open_door, until
from tests.tls.rawclient import RawClient
from tests.tls.throwaway import Environment, Pair, now

Crl = x509.CertificateRevocationList
GRACE = timedelta(days=7)


@pytest.fixture(params=["here", "by OpenSSL"], autouse=True)
def looked_into(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "by OpenSSL":
        monkeypatch.setattr("keystead.tls.contexts.can_judge", lambda: False)
    return str(request.param)


def taken(dev: Environment, *lists: Crl, at: timedelta = timedelta(), more: Iterable[Pair] = ()) -> CrlSet:
    known = (dev.root.certificate, dev.issuing.certificate, *(pair.certificate for pair in more))
    found = advance(NO_CRLS, lists, authorities=known, floors={}, now=now() + at)
    assert not found.refusals
    return found.crls


def outcome(dev: Environment, crls: CrlSet, client: Pair) -> tuple[str, str | None, int | None]:
    """The alert, and the code and depth in the log; "in" for one who got in."""
    in_force = InForce.of(dev.credentials(dev.leaf("web", "server")), crls, grace=GRACE)
    with open_door(in_force, "pinned-uvloop") as door, RawClient(door.port, client.context) as raw:
        try:
            raw.handshake().send(b"hello")
            assert raw.recv_exactly(5) == b"hello"
        except ssl.SSLError as error:
            until(lambda: door.refusals)
            return str(error.reason), door.refusals[0].code, door.refusals[0].depth
    return "in", None, None


def lists_of(dev: Environment, *revoked: Pair, past: timedelta = timedelta(), **options: Any) -> CrlSet:
    made = now() - past - timedelta(days=1)
    return taken(dev, *dev.crls(*revoked, made=made, lifetime=timedelta(days=1), **options))


REVOKED_ALERT = "SSLV3_ALERT_CERTIFICATE_REVOKED"
EXPIRED_ALERT = "SSLV3_ALERT_CERTIFICATE_EXPIRED"


def test_a_good_client_gets_in(dev: Environment, alice: Pair, mallory: Pair) -> None:
    assert outcome(dev, taken(dev, *dev.crls(mallory)), alice) == ("in", None, None)


def test_a_revoked_client_is_refused_as_such(dev: Environment, mallory: Pair) -> None:
    assert outcome(dev, taken(dev, *dev.crls(mallory)), mallory) == (REVOKED_ALERT, "revoked", 0)


def test_a_revoked_issuing_ca_is_refused_as_such(dev: Environment, alice: Pair) -> None:
    crls = taken(dev, *dev.crls(root_revokes=(dev.issuing,)))
    assert outcome(dev, crls, alice) == (REVOKED_ALERT, "revoked", 1)


def test_without_any_list_nobody_gets_in(dev: Environment, alice: Pair) -> None:
    assert outcome(dev, NO_CRLS, alice)[1:] == ("crl-missing", 0)


@pytest.mark.parametrize(("kept", "depth"), [(0, 1), (1, 0)])
def test_without_the_list_of_one_ca_nobody_gets_in(
    dev: Environment, alice: Pair, kept: int, depth: int
) -> None:
    assert outcome(dev, taken(dev, dev.crls()[kept]), alice)[1:] == ("crl-missing", depth)


def test_a_stale_list_lets_in_and_keeps_out_within_the_grace(
    dev: Environment, alice: Pair, mallory: Pair
) -> None:
    crls = lists_of(dev, mallory, past=timedelta(days=6))
    assert outcome(dev, crls, alice) == ("in", None, None)
    assert outcome(dev, crls, mallory) == (REVOKED_ALERT, "revoked", 0)


def test_a_list_beyond_the_grace_lets_nobody_in(dev: Environment, alice: Pair, mallory: Pair) -> None:
    crls = lists_of(dev, mallory, past=timedelta(days=8))
    assert outcome(dev, crls, alice) == (EXPIRED_ALERT, "crl-stale", 0)
    assert outcome(dev, crls, mallory) == (EXPIRED_ALERT, "crl-stale", 0)


def test_the_list_of_the_root_beyond_the_grace_lets_nobody_in(dev: Environment, alice: Pair) -> None:
    _, root = dev.crls(made=now() - timedelta(days=9), lifetime=timedelta(days=1))
    assert outcome(dev, taken(dev, dev.crls()[0], root), alice)[:2] == (EXPIRED_ALERT, "crl-stale")


def test_where_the_clock_goes_back_before_a_list_nobody_gets_in(dev: Environment, alice: Pair) -> None:
    later = dev.crls(made=now() + timedelta(hours=1))
    assert outcome(dev, taken(dev, *later, at=timedelta(hours=2)), alice)[1:] == ("crl-invalid", 0)


def test_an_expired_client_that_is_revoked_too_is_refused(dev: Environment) -> None:
    late = dev.leaf("late", lifetime=timedelta(seconds=-1))
    assert outcome(dev, taken(dev, *dev.crls(late)), late)[:2] == (REVOKED_ALERT, "revoked")


def test_an_expired_client_is_told_so(dev: Environment) -> None:
    late = dev.leaf("late", lifetime=timedelta(seconds=-1))
    assert outcome(dev, taken(dev, *dev.crls()), late) == (EXPIRED_ALERT, "expired", 0)


# ---- CAs that the server does not know


def second_issuing(dev: Environment, name: str) -> Environment:
    """An environment of another issuing CA under the same root."""
    second = Environment(TrustDomain(str(dev.trust_domain)))
    second.root = dev.root
    second.issuing = second.authority(name, dev.root, path_length=0)
    return second


@pytest.mark.parametrize("name", ["issuing", "another"])
def test_of_a_ca_that_only_clients_bring_the_list_is_looked_into(dev: Environment, name: str) -> None:
    """Also where it has the name of the one that is known here."""
    second = second_issuing(dev, name)
    good, bad = second.leaf("good"), second.leaf("bad")
    crls = taken(dev, *dev.crls(), second.crls(bad)[0])
    assert outcome(dev, crls, good) == ("in", None, None)
    assert outcome(dev, crls, bad) == (REVOKED_ALERT, "revoked", 0)


@pytest.mark.parametrize("name", ["issuing", "another"])
def test_the_list_of_one_ca_says_nothing_of_anothers_clients(dev: Environment, name: str) -> None:
    second = second_issuing(dev, name)
    assert outcome(dev, taken(dev, *dev.crls()), second.leaf("good"))[1:] == ("crl-missing", 0)


@pytest.mark.parametrize("name", ["issuing", "another"])
def test_the_same_serial_under_another_ca_is_another_certificate(
    dev: Environment, name: str, alice: Pair
) -> None:
    second = second_issuing(dev, name)
    crls = taken(dev, *dev.crls(), second.crls(alice)[0])
    assert outcome(dev, crls, alice) == ("in", None, None)


def test_of_a_ca_that_only_clients_bring_a_forged_list_lets_nobody_in(dev: Environment) -> None:
    second, forger = second_issuing(dev, "another"), Environment(dev.trust_domain)
    forged = x509.CertificateRevocationListBuilder(
        second.issuing.certificate.subject, now() - timedelta(hours=1), now() + timedelta(days=1)
    ).add_extension(x509.CRLNumber(9), critical=False)
    key_id = x509.AuthorityKeyIdentifier(subject_key_id(second.issuing.certificate), None, None)
    signed = forged.add_extension(key_id, critical=False).sign(forger.issuing.key, hashes.SHA256())
    alert, code, _ = outcome(dev, taken(dev, *dev.crls(), signed), second.leaf("good"))
    assert alert != "in"
    assert code == "crl-invalid"


def test_a_known_ca_under_another_certificate_for_its_key_keeps_its_list(dev: Environment) -> None:
    again = Environment(dev.trust_domain)
    again.root, again.issuing = dev.root, recertified(dev)
    good, bad = again.leaf("good"), again.leaf("bad")
    crls = taken(dev, *dev.crls(bad))
    assert outcome(dev, crls, good) == ("in", None, None)
    assert outcome(dev, crls, bad) == (REVOKED_ALERT, "revoked", 0)


def recertified(dev: Environment) -> Pair:
    old = dev.issuing.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(dev.issuing.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc)
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return Pair(builder.sign(dev.root.key, hashes.SHA256()), dev.issuing.key)


# ---- the judge by itself


def raw(*pairs: Pair) -> tuple[crypto.X509, ...]:
    return tuple(crypto.X509.from_cryptography(pair.certificate) for pair in pairs)


def test_what_is_no_question_of_revocation_is_never_waved_through(dev: Environment, alice: Pair) -> None:
    judge = Judge(dev.crl_set(), grace=GRACE, usable_until=2**40, clock=lambda: now().timestamp())
    chain = raw(alice, dev.issuing, dev.root)
    for errno in set(range(1, 100)) - {CRL_MISSING, CRL_HAS_EXPIRED}:
        assert judge.verdict(errno, 0, lambda: chain) == errno
    assert judge.verdict(CRL_MISSING, 0, lambda: chain) == GOOD


def test_each_hour_has_its_verdict(dev: Environment, alice: Pair, mallory: Pair) -> None:
    made = now()
    crls = dev.crl_set(*dev.crls(mallory, made=made, lifetime=timedelta(days=3)))
    clock = made.timestamp()
    judge = Judge(crls, grace=GRACE, usable_until=0.0, clock=lambda: clock)
    for days, of_alice, of_mallory in (
        (-1, CRL_NOT_YET_VALID, CRL_NOT_YET_VALID),
        (1, GOOD, REVOKED),
        (9, GOOD, REVOKED),
        (11, CRL_HAS_EXPIRED, CRL_HAS_EXPIRED),
    ):
        clock = (made + timedelta(days=days)).timestamp()
        for pair, expected in ((alice, of_alice), (mallory, of_mallory)):
            assert judge.verdict(CRL_MISSING, 0, partial(raw, pair, dev.issuing, dev.root)) == expected


@pytest.mark.parametrize("looked_into", ["here"], indirect=True)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_judge_that_fails_lets_nobody_in(
    dev: Environment, alice: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Judge, "verdict", lambda *_: 1 / 0)
    alert, _, _ = outcome(dev, dev.crl_set(), alice)
    assert alert == "TLSV1_ALERT_UNKNOWN_CA"


def test_the_private_names_are_there() -> None:
    """If this fails after an update of pyOpenSSL, a handshake takes 11 ms under a list of 100,000 entries."""
    assert can_judge()


def test_without_a_private_name_openssl_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "_lib", object())
    assert not private.can_judge()


def test_a_verified_list_is_kept_from_openssl(
    dev: Environment, server_pair: Pair, looked_into: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = second_issuing(dev, "another")
    crls = taken(dev, *dev.crls(), second.crls()[0])
    given: list[Crl] = []
    monkeypatch.setattr(crypto.X509Store, "add_crl", lambda _, crl: given.append(crl))
    assert isinstance(InForce.of(dev.credentials(server_pair), crls).context, SSL.Context)
    assert len(given) == (1 if looked_into == "here" else 3)
