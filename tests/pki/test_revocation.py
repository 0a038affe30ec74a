from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import BadInput, WrongUsage
from keystead.pki.certificates import subject_key_id, to_pem
from keystead.pki.keys import KeyType, digest_for
from keystead.pki.names import TrustDomain
from keystead.pki.revocation import (
    REASONS,
    Revocation,
    build_crl,
    crl_number,
    crl_to_pem,
    issuer_key,
    load_crls,
    next_number,
    next_update,
    parse_reason,
)
from tests.pki.makers import DAY, NOW, Ca, key

CA = Ca()
LEAF = CA.leaf("alice")
FIVE_MINUTES = timedelta(minutes=5)


def entry(reason: str) -> x509.RevokedCertificate:
    crl = CA.crl(CA.issuing, LEAF, reason=reason)
    found = crl.get_revoked_certificate_by_serial_number(LEAF.serial_number)
    assert found is not None
    return found


@given(st.integers(0, 2**40), st.integers(0, 2**33))
def test_a_crl_number_is_above_the_last_and_not_below_the_clock(last: int, seconds: int) -> None:
    number = next_number(last, datetime.fromtimestamp(seconds, UTC))
    assert number == max(last + 1, seconds)


def test_a_list_says_number_issuer_and_dates() -> None:
    crl = CA.crl(CA.issuing, number=7)
    assert crl_number(crl) == 7
    assert issuer_key(crl) == subject_key_id(CA.issuing.certificate)
    assert crl.issuer == CA.issuing.certificate.subject
    assert next_update(crl) == NOW + 90 * DAY
    assert len(list(crl)) == 0


def test_a_list_begins_five_minutes_back_for_clocks_that_run_behind() -> None:
    assert CA.crl(CA.issuing).last_update_utc == NOW - FIVE_MINUTES


@pytest.mark.parametrize("key_type", KeyType)
def test_a_list_of_any_key_type_verifies(key_type: KeyType) -> None:
    ca = Ca(TrustDomain(f"prod.{key_type}.internal"), key_type)
    public = ca.issuing.key.public_key()
    assert ca.crl(ca.issuing, LEAF).is_signature_valid(public)


@pytest.mark.parametrize("reason", [reason for reason in REASONS if reason != "unspecified"])
def test_the_reason_stands_in_the_entry(reason: str) -> None:
    found = entry(reason).extensions.get_extension_for_class(x509.CRLReason).value
    assert found.reason.value == reason


def test_unspecified_is_left_out_as_the_rfc_asks() -> None:
    assert len(entry("unspecified").extensions) == 0


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("keyCompromise", "keyCompromise"),
        ("key-compromise", "keyCompromise"),
        ("KEY_COMPROMISE", "keyCompromise"),
        ("superseded", "superseded"),
    ],
)
def test_a_reason_may_be_spelled_as_people_do(typed: str, meant: str) -> None:
    assert parse_reason(typed) == meant


@pytest.mark.parametrize("text", ["", "certificateHold", "removeFromCRL", "cACompromise", "lost"])
def test_a_reason_that_concerns_no_subscriber_is_refused_naming_those_that_do(text: str) -> None:
    with pytest.raises(WrongUsage) as refused:
        parse_reason(text)
    assert "keyCompromise" in refused.value.mend


def test_lists_survive_pem_and_der_in_their_order() -> None:
    lists = tuple(CA.crls(LEAF))
    assert load_crls(crl_to_pem(*lists), "crl.pem") == lists
    assert load_crls(lists[0].public_bytes(Encoding.DER), "crl.der") == lists[:1]
    assert load_crls(crl_to_pem(*lists).replace(b"\n", b"\r\n"), "crl.pem") == lists


def numberless() -> bytes:
    builder = x509.CertificateRevocationListBuilder(CA.root.certificate.subject, NOW, NOW + DAY)
    return builder.sign(key(), digest_for(key())).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        to_pem(LEAF),
        crl_to_pem(CA.crl(CA.root))[:200],
        crl_to_pem(CA.crl(CA.root)) + b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
        numberless(),
        crl_to_pem(*[CA.crl(CA.root)] * 21),
    ],
    ids=["empty", "text", "certificate", "cut", "second broken", "no number", "too many"],
)
def test_what_is_no_list_is_refused_by_its_files_name(data: bytes) -> None:
    with pytest.raises(BadInput, match=r"crl\.pem holds no revocation list"):
        load_crls(data, "crl.pem")


@pytest.mark.parametrize(
    "identifier",
    [
        x509.AuthorityKeyIdentifier(None, None, None),
        x509.AuthorityKeyIdentifier(
            None, [x509.DirectoryName(CA.issuing.certificate.subject)], CA.issuing.certificate.serial_number
        ),
    ],
    ids=["empty", "name and serial number"],
)
def test_a_list_that_names_no_key_is_refused(identifier: x509.AuthorityKeyIdentifier) -> None:
    forger = key("forger")
    builder = x509.CertificateRevocationListBuilder(CA.issuing.certificate.subject, NOW, NOW + DAY, [])
    builder = builder.add_extension(x509.CRLNumber(9), critical=False)
    forged = builder.add_extension(identifier, critical=False).sign(forger, digest_for(forger))
    with pytest.raises(BadInput, match="no revocation list that can be read") as refused:
        load_crls(crl_to_pem(CA.crl(CA.issuing), forged), "crl.pem")
    assert "by which key" in refused.value.why


@given(st.binary(max_size=200))
def test_no_bytes_make_the_parser_fail_otherwise_than_by_refusing(data: bytes) -> None:
    with pytest.raises(BadInput):
        load_crls(data, "crl.pem")


def test_a_list_without_next_update_is_due_at_once() -> None:
    class Endless:
        next_update_utc = None

    assert next_update(Endless()).year == 1970  # type: ignore[arg-type]  # as much of a list as is asked


def test_ten_thousand_entries_are_signed_in_one_go() -> None:
    entries = [Revocation(f"{number:x}", NOW, "superseded") for number in range(1, 10_001)]
    crl = build_crl(CA.issuing.certificate, CA.issuing.key, entries, number=1, now=NOW, lifetime=DAY)
    assert len(crl) == 10_000
