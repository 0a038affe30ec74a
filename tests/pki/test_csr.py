from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import BadInput
from keystead.pki import csr
from keystead.pki.certificates import to_pem
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import KeyType, digest_for
from keystead.pki.names import HostNames, TrustDomain
from keystead.pki.renewal import PROOF_OID, prove
from tests.pki.makers import CLIENT, SERVER, Ca, csr_pem, hand_made, key, request

PEM = csr_pem(hosts=["db.example.org", "10.0.0.7"], purposes=[SERVER])
DER = x509.load_pem_x509_csr(PEM).public_bytes(Encoding.DER)
SIGNED_END = 4 + len(x509.load_pem_x509_csr(PEM).tbs_certrequest_bytes)


@pytest.mark.parametrize("key_type", KeyType)
def test_what_is_asked_for_is_what_is_read(key_type: KeyType) -> None:
    signer = key(f"csr {key_type}", key_type)
    hosts = HostNames.of(["localhost", "*.example.org", "::1"])
    made = csr.build(signer, common_name="web", purposes=[SERVER, CLIENT], host_names=hosts)
    read = csr.parse(made.public_bytes(Encoding.PEM), "web.csr")
    assert read.common_name == "web"
    assert read.host_names == hosts
    assert read.purposes == {SERVER, CLIENT}
    assert read.public_key == signer.public_key()
    assert read.proves_possession
    assert not read.wants_ca
    assert read.left_out == read.uris == read.bad_host_names == ()
    assert read.proof is None


def test_a_renewal_proof_travels_in_the_csr() -> None:
    proof = prove(key("old"), TrustDomain("prod.x"), "5e41a1", key("new").public_key())
    assert request("alice", signer=key("new"), proof=proof).proof == proof


@pytest.mark.parametrize(
    "data",
    [
        PEM,
        DER,
        b"\xef\xbb\xbf" + PEM,
        PEM.decode().encode("utf-16"),
        PEM.replace(b"\n", b"\r\n"),
        PEM.rstrip(b"\n"),
        b"\n\n  \n" + PEM,
        PEM + b"-- \nsent from my telephone\n",
        PEM.replace(b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"),
    ],
    ids=["PEM", "DER", "BOM", "UTF-16", "CRLF", "no end", "blank lines", "signature", "old header"],
)
def test_the_same_csr_is_read_whatever_a_mail_program_did_to_it(data: bytes) -> None:
    read = csr.parse(data, "web.csr")
    assert read.der == DER
    assert read.fingerprint == csr.parse(PEM, "web.csr").fingerprint


def test_the_text_that_openssl_prints_before_it_is_passed_over(program: Callable[[str], str]) -> None:
    printed = subprocess.run(
        [program("openssl"), "req", "-text"], input=PEM, capture_output=True, check=True
    ).stdout
    assert printed.startswith(b"Certificate Request:")
    assert csr.parse(printed, "web.csr").der == DER


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (to_pem(Ca().root.certificate), "it is the certificate of"),
        (b"hello", "damaged"),
        (PEM[:100], "damaged"),
        (DER[:-1], "damaged"),
        (DER + b"\0", "damaged"),
        (b"x" * (csr.MAX_CSR_OCTETS + 1), "at most 65536"),
        (b"\x30\x84\xff\xff\xff\xff", "damaged"),
        (b"\x30\x80" * 2_000, "damaged"),
    ],
    ids=[
        "empty",
        "blank",
        "certificate",
        "text",
        "cut PEM",
        "cut DER",
        "trailing",
        "huge",
        "length",
        "nested",
    ],
)
def test_what_is_no_csr_is_refused_by_its_files_name(data: bytes, why: str) -> None:
    with pytest.raises(BadInput, match=r"web\.csr is not a CSR") as refused:
        csr.parse(data, "web.csr")
    assert why in refused.value.why
    assert refused.value.mend


def test_a_csr_signed_by_another_key_proves_nothing() -> None:
    other = csr_pem("alice", signer=key("mallory"))
    spki, others = (
        signer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for signer in (key("alice"), key("mallory"))
    )
    forged = x509.load_pem_x509_csr(other).public_bytes(Encoding.DER).replace(others, spki)
    read = csr.parse(forged, "alice.csr")
    assert read.key_fingerprint == Fingerprint.of_spki(spki)
    assert not read.proves_possession


@given(st.integers(4, SIGNED_END - 1), st.integers(1, 255))
def test_a_changed_octet_of_what_was_signed_is_refused_or_proves_nothing(place: int, change: int) -> None:
    changed = DER[:place] + bytes([DER[place] ^ change]) + DER[place + 1 :]
    try:
        read = csr.parse(changed, "web.csr")
    except BadInput:
        return
    assert not read.proves_possession


@given(st.binary(max_size=400))
def test_no_bytes_make_the_parser_fail_otherwise_than_by_refusing(data: bytes) -> None:
    with pytest.raises(BadInput):
        csr.parse(data, "x.csr")


def test_ca_true_is_noticed() -> None:
    assert csr.parse(hand_made(x509.BasicConstraints(ca=True, path_length=None)), "x").wants_ca
    assert not csr.parse(hand_made(x509.BasicConstraints(ca=False, path_length=None)), "x").wants_ca


def test_what_no_certificate_of_ours_will_carry_is_listed() -> None:
    read = csr.parse(
        hand_made(
            x509.SubjectAlternativeName([x509.RFC822Name("a@example.org"), x509.DNSName("db")]),
            x509.TLSFeature([x509.TLSFeatureType.status_request]),
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0"),
            subject=[
                (NameOID.COMMON_NAME, "alice"),
                (NameOID.ORGANIZATION_NAME, "Example"),
                (NameOID.EMAIL_ADDRESS, "a@example.org"),
            ],
        ),
        "x",
    )
    told = ", ".join(read.left_out)
    for part in ("O=Example", "a@example.org", "1.2.3.4", "SAN RFC822Name", "TLSFeature"):
        assert part in told
    assert read.host_names.texts == ("db",)


def test_key_usage_and_key_identifier_are_not_listed_for_the_ca_sets_them() -> None:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key().public_key())
    assert csr.parse(hand_made(identifier), "x").left_out == ()


def test_two_common_names_are_none() -> None:
    twice = [(NameOID.COMMON_NAME, "alice"), (NameOID.COMMON_NAME, "bob")]
    assert csr.parse(hand_made(subject=twice), "x").common_name is None


def test_no_common_name_is_none() -> None:
    assert csr.parse(hand_made(subject=[(NameOID.ORGANIZATION_NAME, "x")]), "x").common_name is None


def test_a_dns_san_that_is_no_host_name_is_kept_apart() -> None:
    san = x509.SubjectAlternativeName([x509.DNSName("a b"), x509.DNSName("good"), x509.DNSName("../x")])
    read = csr.parse(hand_made(san), "x")
    assert read.host_names.texts == ("good",)
    assert read.bad_host_names == ("a b", "../x")


def test_uris_are_read_as_they_stand() -> None:
    san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://prod.x/client/root")])
    assert csr.parse(hand_made(san), "x").uris == ("spiffe://prod.x/client/root",)


def test_more_than_a_hundred_host_names_are_refused() -> None:
    names = [x509.IPAddress(ipaddress.ip_address(number)) for number in range(1, 102)]
    with pytest.raises(BadInput) as refused:
        csr.parse(hand_made(x509.SubjectAlternativeName(names)), "x")
    assert "at most 100" in refused.value.why


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b'{"serial":"1"}',
        b'{"serial":1,"signature":"eA=="}',
        b"[" * 60000,
        b'{"serial":"xyz","signature":"eA=="}',
        b'{"serial":"1","signature":"!"}',
    ],
)
def test_a_renewal_proof_that_cannot_be_read_is_refused(value: bytes) -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    made = builder.add_attribute(PROOF_OID, value).sign(key(), digest_for(key()))
    with pytest.raises(BadInput) as refused:
        csr.parse(made.public_bytes(Encoding.DER), "x")
    assert "renewal proof" in refused.value.why


def test_a_server_is_told_from_a_client_by_its_extended_key_usage() -> None:
    assert request(purposes=[SERVER]).wants_server
    assert not request(purposes=[CLIENT]).wants_server
