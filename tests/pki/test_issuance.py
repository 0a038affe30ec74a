from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID, NameOID

from keystead.errors import Unavailable
from keystead.pki.certificates import (
    authority_key_id,
    extended_key_usages,
    host_names,
    identity_of,
    subject_key_id,
    trust_domain_of_ca,
)
from keystead.pki.issuance import Authorship, Issuer
from keystead.pki.keys import KeyType
from keystead.pki.names import TrustDomain
from tests.pki.makers import CLIENT, DAY, DOMAIN, NOW, SERVER, Ca, identity, key

URL = "http://pki.example.org"
CA = Ca()
ROOT, ISSUING = CA.root.certificate, CA.issuing.certificate
CLIENTS = CA.leaf("alice")
SERVERS = CA.leaf("web", "server", hosts=["localhost", "10.0.0.7", "::1"])
EVERY = [ROOT, ISSUING, CLIENTS, SERVERS]
FIVE_MINUTES = timedelta(minutes=5)


def usage(certificate: x509.Certificate) -> set[str]:
    flags = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
    names += ("key_agreement", "key_cert_sign", "crl_sign")  # type: ignore[assignment]  # longer
    return {name for name in names if getattr(flags, name)}


def constraints(certificate: x509.Certificate) -> tuple[bool, int | None]:
    found = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    return found.ca, found.path_length


def subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


def has(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> bool:
    return any(extension.oid == oid for extension in certificate.extensions)


# who


def test_subjects_are_as_the_design_says() -> None:
    assert subject(ROOT) == "CN=Example prod root,OU=prod,O=Example"
    assert subject(ISSUING) == "CN=Example prod issuing,OU=prod,O=Example"
    assert subject(CLIENTS) == "CN=alice,OU=prod"


def test_a_leafs_one_uri_is_its_identity() -> None:
    assert identity_of(CLIENTS) == identity("alice")
    assert identity_of(SERVERS) == identity("web", "server")


def test_cas_carry_their_trust_domain() -> None:
    assert trust_domain_of_ca(ROOT) == trust_domain_of_ca(ISSUING) == DOMAIN


def test_a_server_covers_its_hosts_and_a_client_none() -> None:
    assert host_names(SERVERS).texts == ("localhost", "10.0.0.7", "::1")
    assert not host_names(CLIENTS)


# what for


def test_only_cas_are_cas_and_their_paths_are_short() -> None:
    assert constraints(ROOT) == (True, 1)
    assert constraints(ISSUING) == (True, 0)
    assert constraints(CLIENTS) == constraints(SERVERS) == (False, None)


def test_key_usages_are_the_least_that_does() -> None:
    assert usage(ROOT) == usage(ISSUING) == {"key_cert_sign", "crl_sign"}
    assert usage(CLIENTS) == usage(SERVERS) == {"digital_signature"}


def test_purposes_are_the_profiles_and_a_ca_has_none() -> None:
    assert extended_key_usages(CLIENTS) == {CLIENT}
    assert extended_key_usages(SERVERS) == {SERVER}
    assert not has(ROOT, ExtensionOID.EXTENDED_KEY_USAGE)
    assert not has(ISSUING, ExtensionOID.EXTENDED_KEY_USAGE)


@pytest.mark.parametrize("certificate", EVERY, ids=["root", "issuing", "client", "server"])
def test_constraints_and_usage_are_critical_and_nothing_else_is(certificate: x509.Certificate) -> None:
    critical = {extension.oid for extension in certificate.extensions if extension.critical}
    assert critical == {ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE}


@pytest.mark.parametrize("certificate", EVERY, ids=["root", "issuing", "client", "server"])
def test_every_certificate_names_its_own_key(certificate: x509.Certificate) -> None:
    assert subject_key_id(certificate)


def test_every_certificate_names_its_issuers_key() -> None:
    assert authority_key_id(CLIENTS) == subject_key_id(ISSUING)
    assert authority_key_id(ISSUING) == subject_key_id(ROOT)


def test_a_leaf_binds_the_key_of_the_csr() -> None:
    spki = [
        each.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for each in (CLIENTS.public_key(), key("alice").public_key())
    ]
    assert spki[0] == spki[1]


@pytest.mark.parametrize("key_type", KeyType)
def test_a_ca_of_any_key_type_signs_what_verifies(key_type: KeyType) -> None:
    ca = Ca(TrustDomain(f"prod.{key_type}.internal"), key_type)
    ca.root.certificate.verify_directly_issued_by(ca.root.certificate)
    ca.issuing.certificate.verify_directly_issued_by(ca.root.certificate)
    ca.leaf().verify_directly_issued_by(ca.issuing.certificate)


# when


def test_certificates_begin_five_minutes_back() -> None:
    assert {certificate.not_valid_before_utc for certificate in EVERY} == {NOW - FIVE_MINUTES}


def test_root_ten_years_issuing_three_leaves_by_profile() -> None:
    assert ROOT.not_valid_after_utc == NOW + 3650 * DAY
    assert ISSUING.not_valid_after_utc == NOW + 1095 * DAY
    assert CLIENTS.not_valid_after_utc == NOW + 30 * DAY
    assert SERVERS.not_valid_after_utc == NOW + 90 * DAY


def test_a_lifetime_of_two_seconds_ends_in_two_seconds() -> None:
    issued = CA.issued(lifetime=timedelta(seconds=2), now=NOW + timedelta(microseconds=999_999))
    assert issued.not_after == NOW + timedelta(seconds=2)


def test_what_was_issued_says_what_its_der_says() -> None:
    issued = CA.issued()
    certificate = x509.load_der_x509_certificate(issued.der)
    assert issued.serial == f"{certificate.serial_number:x}"
    assert issued.not_before == certificate.not_valid_before_utc
    assert issued.not_after == certificate.not_valid_after_utc


def test_a_leaf_never_outlives_its_issuer() -> None:
    late = CA.leaf(now=NOW + 1090 * DAY)
    assert late.not_valid_after_utc == ISSUING.not_valid_after_utc


def test_an_issuing_ca_never_outlives_its_root() -> None:
    late = Ca(made_at=NOW + 3000 * DAY)
    late.root = CA.root
    assert late.issuing.certificate.not_valid_after_utc == ROOT.not_valid_after_utc


@pytest.mark.parametrize("after", [timedelta(0), DAY])
def test_an_expired_issuing_ca_issues_nothing_and_says_so(after: timedelta) -> None:
    with pytest.raises(Unavailable, match="has expired"):
        CA.issued(now=ISSUING.not_valid_after_utc + after)


# where its issuer's list is found


def test_without_a_public_url_nothing_says_where_lists_are() -> None:
    for certificate in EVERY:
        assert not has(certificate, ExtensionOID.CRL_DISTRIBUTION_POINTS)
        assert not has(certificate, ExtensionOID.AUTHORITY_INFORMATION_ACCESS)


def test_with_a_public_url_issuing_ca_and_leaf_say_where_their_issuers_lists_are() -> None:
    ca = Ca(TrustDomain("prod.url.internal"), public_url=URL)
    for certificate, issuer in ((ca.leaf(), ca.issuing), (ca.issuing.certificate, ca.root)):
        key_id = subject_key_id(issuer.certificate).hex()
        (point,) = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        (access,) = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        assert [name.value for name in point.full_name or ()] == [f"{URL}/crl/{key_id}.crl"]
        assert access.access_location.value == f"{URL}/ca/{key_id}.crt"


def test_a_root_says_nowhere_where_its_own_list_is() -> None:
    root = Ca(TrustDomain("prod.url.internal"), public_url=URL).root.certificate
    assert not has(root, ExtensionOID.CRL_DISTRIBUTION_POINTS)


def test_a_slash_at_the_end_of_the_url_is_not_doubled() -> None:
    issuer = Issuer(ROOT, key("x"), Authorship(f"{URL}/"))
    (points, _) = issuer.authorship.extensions(b"\x01")
    assert isinstance(points, x509.CRLDistributionPoints)
    assert [name.value for name in points[0].full_name or ()] == [f"{URL}/crl/01.crl"]


def test_no_certificate_carries_an_email_address_or_a_hostile_subject() -> None:
    for certificate in EVERY:
        assert {attribute.oid for attribute in certificate.subject} <= {
            NameOID.COMMON_NAME,
            NameOID.ORGANIZATION_NAME,
            NameOID.ORGANIZATIONAL_UNIT_NAME,
        }
