from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import BadInput, Distrusted
from keystead.pki.certificates import (
    common_name,
    has_key,
    host_names,
    identity_of,
    is_ca,
    load_certificate,
    load_certificates,
    subject_key_id,
    to_pem,
    trust_domain_of_ca,
)
from keystead.pki.keys import digest_for, private_pem
from keystead.pki.revocation import crl_to_pem
from tests.pki.makers import DOMAIN, NOW, Ca, csr_pem, identity, key

CA = Ca()
LEAF = CA.leaf("alice")
ISSUING = CA.issuing.certificate


def made_of(*names: x509.GeneralName) -> x509.Certificate:
    """A self-signed certificate with these SANs, of nobody's CA."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stranger")])
    builder = x509.CertificateBuilder(subject, subject, key().public_key(), 5, NOW, NOW + timedelta(days=1))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key(), digest_for(key()))


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def test_certificates_survive_pem_and_der_in_their_order() -> None:
    assert load_certificates(to_pem(LEAF, ISSUING), "a.crt") == (LEAF, ISSUING)
    assert load_certificates(LEAF.public_bytes(Encoding.DER), "a.crt") == (LEAF,)
    assert load_certificate(to_pem(ISSUING, LEAF), "a.crt") == ISSUING


def test_other_blocks_of_a_bundle_are_passed_over() -> None:
    bundle = b"text\n" + to_pem(LEAF) + crl_to_pem(*CA.crls()) + to_pem(ISSUING)
    assert load_certificates(bundle, "a.pem") == (LEAF, ISSUING)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (private_pem(key()), "a private key"),
        (csr_pem(), "it is a CSR"),
        (to_pem(LEAF)[:300], "damaged"),
        (LEAF.public_bytes(Encoding.DER)[:-1], "damaged"),
        (b"hello", "damaged"),
    ],
)
def test_what_is_no_certificate_is_refused_by_its_files_name(data: bytes, why: str) -> None:
    with pytest.raises(BadInput, match=r"a\.crt holds no certificate") as refused:
        load_certificates(data, "a.crt")
    assert why in refused.value.why


def test_the_error_about_a_private_key_shows_nothing_of_it() -> None:
    pem = private_pem(key())
    with pytest.raises(BadInput) as refused:
        load_certificates(pem, "a.crt")
    assert pem.decode().splitlines()[1] not in f"{refused.value}{refused.value!r}"


def test_more_than_twenty_certificates_are_refused() -> None:
    with pytest.raises(BadInput, match="at most 20"):
        load_certificates(to_pem(*[LEAF] * 21), "a.crt")


@given(st.integers(0, len(LEAF.public_bytes(Encoding.DER)) - 1), st.integers(1, 255))
def test_a_changed_octet_is_refused_or_the_signature_does_not_verify(place: int, change: int) -> None:
    der = bytearray(LEAF.public_bytes(Encoding.DER))
    der[place] ^= change
    try:
        read = load_certificate(bytes(der), "a.crt")
        read.verify_directly_issued_by(ISSUING)
    except (BadInput, InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return
    # The encoding of the signature has room for another spelling; what it signs has none.
    assert read.tbs_certificate_bytes == LEAF.tbs_certificate_bytes


def test_the_identity_is_the_one_uri() -> None:
    assert identity_of(made_of(uri(identity().uri), x509.DNSName("a"))) == identity()


@pytest.mark.parametrize(
    "names",
    [
        (),
        (x509.DNSName("alice"),),
        (uri("https://example.org"),),
        (uri("spiffe://prod.example.internal"),),
        (uri("spiffe://prod.example.internal/client/alice/x"),),
        (uri("spiffe://prod.example.internal/client/Alice"),),
        (uri(identity().uri), uri(identity("bob").uri)),
        (uri(identity().uri), uri(identity().uri)),
        (uri(identity().uri), uri("https://example.org")),
    ],
    ids=["none", "dns only", "foreign", "bare", "longer", "upper case", "two", "twice", "one and foreign"],
)
def test_whatever_is_not_exactly_one_identity_is_none(names: tuple[x509.GeneralName, ...]) -> None:
    with pytest.raises(Distrusted) as refused:
        identity_of(made_of(*names))
    assert refused.value.code == "no-identity"


@pytest.mark.parametrize(
    "names", [(), (uri(identity().uri),), (uri(DOMAIN.uri), uri(DOMAIN.uri)), (uri("https://a.b"),)]
)
def test_a_ca_without_exactly_one_trust_domain_has_none(names: tuple[x509.GeneralName, ...]) -> None:
    with pytest.raises(Distrusted) as refused:
        trust_domain_of_ca(made_of(*names))
    assert refused.value.code == "no-identity"


def test_host_names_that_keystead_would_not_grant_do_not_break_the_reading_of_a_foreign_certificate() -> None:
    host_names(made_of(x509.DNSName("under_score.example.org"), x509.DNSName("good")))


def test_small_questions_have_small_answers() -> None:
    bare = made_of()
    assert common_name(LEAF) == "alice"
    assert is_ca(ISSUING)
    assert not is_ca(LEAF)
    assert not is_ca(bare)
    assert subject_key_id(bare) == b""
    assert not host_names(bare)
    assert has_key(LEAF, key("alice").public_key())
    assert not has_key(LEAF, key("bob").public_key())
