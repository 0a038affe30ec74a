"""Which list may replace which, and who is on them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keystead.pki.certificates import subject_key_id
from keystead.pki.keys import KeyType, generate
from keystead.tls.crls import NO_CRLS, Advance, CrlSet, advance, uncovered
from tests.tls import throwaway
from tests.tls.throwaway import Environment, Pair, now, odd_list


def take(
    current: CrlSet, *found: x509.CertificateRevocationList, dev: Environment, **options: Any
) -> Advance:
    arguments: dict[str, Any] = {
        "authorities": (dev.root.certificate, dev.issuing.certificate),
        "floors": {},
        "now": now(),
    }
    return advance(current, found, **(arguments | options))


def codes(taken: Advance) -> list[str]:
    return [refusal.code for refusal in taken.refusals]


def test_the_lists_of_both_cas_are_taken(dev: Environment, alice: Pair) -> None:
    taken = take(NO_CRLS, *dev.crls(alice, number=7), dev=dev)
    issuing = subject_key_id(dev.issuing.certificate)
    assert not taken.refusals
    assert set(taken.crls.numbers().values()) == {7}
    assert taken.crls.revoked(issuing, alice.certificate.serial_number)
    assert not taken.crls.revoked(issuing, 1)
    assert not taken.crls.revoked(b"somebody else", alice.certificate.serial_number)
    assert not uncovered(taken.crls, (dev.root.certificate, dev.issuing.certificate))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(st.integers(1, 30), min_size=1, max_size=8), floor=st.integers(0, 30))
def test_a_number_never_goes_down(dev: Environment, numbers: list[int], floor: int) -> None:
    issuer = subject_key_id(dev.issuing.certificate)
    crls, highest = NO_CRLS, 0
    for number in numbers:
        taken = take(crls, dev.crls(number=number)[0], dev=dev, floors={issuer: floor})
        crls = taken.crls
        if number >= floor and number > highest:
            highest = number
        else:
            assert codes(taken) in ([], ["crl-rollback"])  # nothing to say of the very same list
        assert crls.numbers().get(issuer, 0) == highest


def test_each_issuer_advances_by_itself(dev: Environment) -> None:
    issuing, root = dev.crls(number=5)
    crls = take(NO_CRLS, issuing, root, dev=dev).crls
    newer_issuing, older_root = dev.crls(number=6)[0], dev.crls(number=4)[1]
    taken = take(crls, newer_issuing, older_root, dev=dev)
    assert codes(taken) == ["crl-rollback"]
    assert taken.crls.crls == (newer_issuing, root)


def test_a_list_that_the_file_lacks_stays_in_force(dev: Environment) -> None:
    issuing, root = dev.crls(number=5)
    crls = take(NO_CRLS, issuing, root, dev=dev).crls
    newer = dev.crls(number=6)[0]
    assert take(crls, newer, dev=dev).crls.crls == (newer, root)


def test_another_list_of_the_same_number_is_not_taken(dev: Environment, alice: Pair) -> None:
    crls = take(NO_CRLS, dev.crls(alice, number=5)[0], dev=dev).crls
    assert codes(take(crls, dev.crls(number=5)[0], dev=dev)) == ["crl-rollback"]


def test_the_same_list_again_is_no_news(dev: Environment) -> None:
    lists = dev.crls(number=5)
    crls = take(NO_CRLS, *lists, dev=dev).crls
    taken = take(crls, *lists, dev=dev)
    assert not taken.refusals
    assert taken.crls.crls == crls.crls


def test_a_forged_list_is_not_taken(dev: Environment) -> None:
    forger = Environment(dev.trust_domain)
    forged = x509.CertificateRevocationListBuilder(
        dev.issuing.certificate.subject, now(), now() + timedelta(days=1), []
    )
    forged = forged.add_extension(x509.CRLNumber(9), critical=False)
    key_id = x509.AuthorityKeyIdentifier(subject_key_id(dev.issuing.certificate), None, None)
    forged = forged.add_extension(key_id, critical=False)
    taken = take(NO_CRLS, forged.sign(forger.issuing.key, hashes.SHA256()), dev=dev)
    assert codes(taken) == ["crl-invalid"]


def test_by_a_list_of_an_issuer_unknown_here_no_number_is_remembered(dev: Environment) -> None:
    elsewhere = Environment(dev.trust_domain)
    taken = take(NO_CRLS, elsewhere.crls(number=10**12)[0], dev=dev)
    assert not taken.refusals
    assert not taken.crls.numbers()


def test_a_list_from_the_future_is_not_taken(dev: Environment) -> None:
    taken = take(NO_CRLS, dev.crls(made=now() + timedelta(hours=1))[0], dev=dev)
    assert codes(taken) == ["crl-not-yet-valid"]


@pytest.mark.parametrize(
    "partial",
    [
        x509.DeltaCRLIndicator(1),
        x509.IssuingDistributionPoint(
            full_name=None,
            relative_name=None,
            only_contains_user_certs=True,
            only_contains_ca_certs=False,
            only_some_reasons=None,
            indirect_crl=False,
            only_contains_attribute_certs=False,
        ),
    ],
)
def test_a_list_that_is_not_the_whole_list_is_not_taken(
    dev: Environment, partial: x509.ExtensionType
) -> None:
    builder = x509.CertificateRevocationListBuilder(
        dev.issuing.certificate.subject, now(), now() + timedelta(days=1), []
    )
    builder = builder.add_extension(x509.CRLNumber(9), critical=False)
    key_id = x509.AuthorityKeyIdentifier(subject_key_id(dev.issuing.certificate), None, None)
    builder = builder.add_extension(key_id, critical=False).add_extension(partial, critical=True)
    taken = take(NO_CRLS, builder.sign(dev.issuing.key, hashes.SHA256()), dev=dev)
    assert codes(taken) == ["bad-crl"]


def _list_of(dev: Environment, *extensions: x509.ExtensionType, entry_is_critical: bool = False) -> Any:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    entry = x509.RevokedCertificateBuilder().serial_number(5).revocation_date(now())
    key_id = x509.AuthorityKeyIdentifier(subject_key_id(dev.issuing.certificate), None, None)
    builder = x509.CertificateRevocationListBuilder(
        dev.issuing.certificate.subject,
        now(),
        now() + timedelta(days=1),
        revoked_certificates=[entry.add_extension(unknown, critical=entry_is_critical).build()],
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    builder = builder.add_extension(x509.CRLNumber(9), critical=False).add_extension(key_id, critical=False)
    return builder.sign(dev.issuing.key, hashes.SHA256())


def test_a_list_with_an_entry_that_cannot_be_read_is_not_taken(dev: Environment) -> None:
    reason = x509.UnrecognizedExtension(x509.CRLReason.oid, b"\x05\x00")
    entry = x509.RevokedCertificateBuilder().serial_number(5).revocation_date(now())
    for issuer in (dev, Environment(dev.trust_domain)):
        template, _ = issuer.crls(number=9)
        builder = x509.CertificateRevocationListBuilder(
            template.issuer,
            now(),
            now() + timedelta(days=1),
            [*template.extensions],
            [entry.add_extension(reason, critical=True).build()],
        )
        assert codes(take(NO_CRLS, builder.sign(issuer.issuing.key, hashes.SHA256()), dev=dev)) == ["bad-crl"]


def test_a_strangers_list_that_openssl_cannot_read_is_not_taken(dev: Environment) -> None:
    # Its context would be built in vain, with the good lists of the same file.
    assert codes(take(NO_CRLS, odd_list(Environment(dev.trust_domain)), dev=dev)) == ["bad-crl"]


def test_a_list_with_a_critical_extension_is_not_taken(dev: Environment) -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.5"), b"\x05\x00")
    assert codes(take(NO_CRLS, _list_of(dev, unknown), dev=dev)) == ["bad-crl"]
    assert codes(take(NO_CRLS, _list_of(dev, entry_is_critical=True), dev=dev)) == ["bad-crl"]
    assert codes(take(NO_CRLS, _list_of(dev), dev=dev)) == []


def test_the_list_of_a_ca_that_may_sign_none_is_not_taken(
    dev: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = {**dict.fromkeys(_USAGES, False), "key_cert_sign": True, "crl_sign": False}
    monkeypatch.setattr(throwaway, "_ca_usage", lambda: x509.KeyUsage(**usage))
    mute = Environment(dev.trust_domain)
    assert codes(take(NO_CRLS, *mute.crls(), dev=mute)) == ["crl-invalid", "crl-invalid"]


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "encipher_only",
    "decipher_only",
)


def test_a_set_is_usable_until_its_first_list_is_stale_and_the_grace_over(dev: Environment) -> None:
    lists = dev.crls(made=now() - timedelta(hours=2), lifetime=timedelta(hours=1))
    crls = take(NO_CRLS, *lists, dev=dev).crls
    next_update = lists[0].next_update_utc
    assert next_update is not None
    issuers = map(subject_key_id, (dev.root.certificate, dev.issuing.certificate))
    assert crls.usable_until(issuers, timedelta(days=7)) == (next_update + timedelta(days=7)).timestamp()
    assert len(crls.stale(now())) == 2
    assert not crls.stale(now() - timedelta(hours=2))


def test_the_stale_list_of_a_ca_that_nobody_knows_hurts_nobody_elses(dev: Environment) -> None:
    stranger = Environment(dev.trust_domain)
    junk = stranger.crls(made=now() - timedelta(days=99), lifetime=timedelta(days=1))
    crls = take(NO_CRLS, *dev.crls(), *junk, dev=dev).crls
    assert crls.usable_until([subject_key_id(dev.issuing.certificate)], timedelta()) > now().timestamp()
    assert crls.usable_until([subject_key_id(stranger.issuing.certificate)], timedelta()) < now().timestamp()
    assert not crls.stale(now())


def test_a_made_up_number_does_not_keep_out_the_list_of_a_ca_once_it_is_known(dev: Environment) -> None:
    issuing = dev.issuing.certificate
    forged = _forged(issuing, number=2**80)
    unknown = take(NO_CRLS, forged, dev=dev, authorities=())
    assert not unknown.refusals
    taken = take(unknown.crls, dev.crls(number=5)[0], dev=dev)
    assert taken.crls.numbers() == {subject_key_id(issuing): 5}


def test_a_made_up_number_keeps_out_no_list_of_a_ca_that_only_clients_bring(
    dev: Environment,
) -> None:
    elsewhere = Environment(dev.trust_domain)
    forged, true = _forged(elsewhere.issuing.certificate, number=2**80), elsewhere.crls(number=5)[0]
    before = take(NO_CRLS, forged, dev=dev)
    assert before.crls.crls == (forged,)
    after = take(before.crls, true, dev=dev)
    assert not after.refusals
    assert after.crls.crls == (true,)


def test_of_a_ca_that_only_clients_bring_the_last_list_of_the_file_is_taken(dev: Environment) -> None:
    elsewhere = Environment(dev.trust_domain)
    forged, true = _forged(elsewhere.issuing.certificate, number=2**80), elsewhere.crls(number=5)[0]
    once = take(NO_CRLS, forged, true, dev=dev)
    assert once.crls.crls == (true,)
    assert take(once.crls, forged, true, dev=dev).crls is once.crls  # the same file again is no news


def test_a_ca_s_number_holds_after_the_ca_is_known_no_more(dev: Environment) -> None:
    crls = take(NO_CRLS, dev.crls(number=7)[0], dev=dev).crls
    assert codes(take(crls, dev.crls(number=6)[0], dev=dev, authorities=())) == ["crl-rollback"]


def _forged(issuer: x509.Certificate, number: int) -> x509.CertificateRevocationList:
    builder = x509.CertificateRevocationListBuilder(issuer.subject, now(), now() + timedelta(days=1), [])
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    key_id = x509.AuthorityKeyIdentifier(subject_key_id(issuer), None, None)
    return builder.add_extension(key_id, critical=False).sign(generate(KeyType.P256), hashes.SHA256())


def test_no_list_at_all_is_never_usable() -> None:
    assert NO_CRLS.usable_until([b"anybody"], timedelta(days=7)) < now().timestamp()
    assert NO_CRLS.usable_until([], timedelta(days=7)) < now().timestamp()
