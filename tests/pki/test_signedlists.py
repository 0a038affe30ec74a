"""Lists with their octets: read as the parser reads them, verified as cryptography verifies."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead.pki import signedlists
from keystead.pki.keys import KeyType, generate
from keystead.pki.signedlists import SignedList, find_lists

NOW = datetime(2026, 11, 25, tzinfo=UTC)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "the CA")])
KEYS = {str(kind): generate(kind) for kind in KeyType if kind is not KeyType.RSA4096}
HASHED = (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)
HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}


def issuer_of(key: object, name: x509.Name = NAME) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
    )
    public_key = key.public_key()  # type: ignore[attr-defined]  # every private key has one
    hash_ = hashes.SHA256() if isinstance(key, HASHED) else None
    return builder.public_key(public_key).sign(key, hash_)  # type: ignore[arg-type]  # as above


def entry(serial: int, *, critical: bool = False) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW)
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    return builder.add_extension(unknown, critical=critical).build()


def made_by(key: object, *entries: x509.RevokedCertificate, hash_: object = None, **options: object) -> bytes:
    builder = x509.CertificateRevocationListBuilder(
        NAME, NOW, NOW + timedelta(days=1), revoked_certificates=list(entries)
    )
    return builder.sign(key, hash_, **options).public_bytes(Encoding.DER)  # type: ignore[arg-type]  # a table's


def cases() -> dict[str, tuple[object, bytes]]:
    found: dict[str, tuple[object, bytes]] = {}
    for name, key in KEYS.items():
        if not isinstance(key, HASHED):
            found[name] = (key, made_by(key, entry(5)))
            continue
        for hash_name, hash_ in HASHES.items():
            found[f"{name}-{hash_name}"] = (key, made_by(key, entry(5), hash_=hash_))
    rsa_key = KEYS["rsa3072"]
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    found["rsa-pss"] = (rsa_key, made_by(rsa_key, hash_=hashes.SHA256(), rsa_padding=pss))
    return found


CASES = cases()


@pytest.mark.parametrize("kind", CASES)
def test_a_signature_of_each_kind_is_accepted(kind: str) -> None:
    key, der = CASES[kind]
    assert SignedList.parse(der).is_signed_by(issuer_of(key))


@pytest.mark.parametrize("kind", CASES)
def test_of_each_kind_another_keys_signature_is_refused(kind: str) -> None:
    _, der = CASES[kind]
    others: dict[type, object] = {
        ec.EllipticCurvePrivateKey: generate(KeyType.P256),
        ed25519.Ed25519PrivateKey: generate(KeyType.ED25519),
        rsa.RSAPrivateKey: rsa.generate_private_key(65537, 2048),
    }
    for other in others.values():
        assert not SignedList.parse(der).is_signed_by(issuer_of(other))


@pytest.mark.parametrize("kind", CASES)
def test_of_each_kind_an_octet_changed_spoils_the_signature(kind: str) -> None:
    key, der = CASES[kind]
    at = der.index(b"the CA") + 4
    changed = der[:at] + b"c" + der[at + 1 :]
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "the cA")])
    assert not SignedList.parse(changed).is_signed_by(issuer_of(key, name))


def test_a_list_in_another_cas_name_is_refused_whoever_signed_it() -> None:
    key, der = CASES["p256-sha256"]
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "another CA")])
    assert not SignedList.parse(der).is_signed_by(issuer_of(key, name))


def test_an_algorithm_that_differs_inside_and_outside_is_refused() -> None:
    _, der = CASES["p256-sha256"]
    ecdsa_sha256, ecdsa_sha384 = (bytes.fromhex(f"06082a8648ce3d04030{n}") for n in (2, 3))
    assert der.count(ecdsa_sha256) == 2
    at = der.rindex(ecdsa_sha256)
    mixed = der[:at] + ecdsa_sha384 + der[at + len(ecdsa_sha384) :]
    with pytest.raises(ValueError, match="algorithms do not match"):
        SignedList.parse(mixed)


@settings(deadline=None)
@given(st.lists(st.integers(1, 2**159 - 1), max_size=30, unique=True))
def test_all_serials_are_found(serials: list[int]) -> None:
    signed = SignedList.parse(made_by(KEYS["ed25519"], *map(entry, serials)))
    assert signed.serials() == frozenset(serials)


def test_the_serials_of_a_long_list_are_found_in_steps() -> None:
    pauses: list[None] = []
    signed = SignedList.parse(made_by(KEYS["ed25519"], *map(entry, range(1, 5002))))
    assert signed.serials(lambda: pauses.append(None)) == frozenset(range(1, 5002))
    assert len(pauses) == 6


@pytest.mark.parametrize("critical", [False, True])
def test_a_critical_extension_of_an_entry_is_noticed(critical: bool) -> None:
    entries = [entry(serial) for serial in range(1, 400)]
    signed = SignedList.parse(made_by(KEYS["ed25519"], *entries, entry(400, critical=critical)))
    assert signed.has_critical_entry() is critical


@pytest.mark.parametrize("step", range(1, 40))
def test_it_is_noticed_wherever_the_steps_divide_the_list(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = SignedList.parse(made_by(KEYS["ed25519"], entry(5, critical=True)))
    monkeypatch.setattr(signedlists, "_STEP_OCTETS", step)
    assert signed.has_critical_entry()


def test_octets_that_only_look_like_a_critical_extension_are_none() -> None:
    signed = SignedList.parse(made_by(KEYS["ed25519"], entry(0x010101FF04)))
    assert not signed.has_critical_entry()


@settings(deadline=None)
@given(st.integers(0, 50))
def test_pem_is_what_cryptography_writes(entries: int) -> None:
    signed = SignedList.parse(made_by(KEYS["ed25519"], *map(entry, range(1, 1 + entries))))
    assert signed.pem() == signed.crl.public_bytes(Encoding.PEM)


def armoured(der: bytes, width: int = 64, end: bytes = b"\n") -> bytes:
    text = base64.b64encode(der)
    lines = [text[at : at + width] for at in range(0, len(text), width)]
    return end.join([b"-----BEGIN X509 CRL-----", *lines, b"-----END X509 CRL-----", b""])


@settings(deadline=None, max_examples=30)  # an example may be a megabyte
@given(st.lists(st.integers(0, 700_000), min_size=1, max_size=3), st.sampled_from([64, 76, 4096, 9**9]))
def test_what_was_armoured_is_found_whatever_its_length(sizes: list[int], width: int) -> None:
    ders = [bytes(number % 251 for number in range(size % 1000)) * (1 + size // 1000) for size in sizes]
    for end in (b"\n", b"\r\n"):
        assert find_lists(b"text\n" + b"".join(armoured(der, width, end) for der in ders)) == ders


@pytest.mark.parametrize(
    "block", [b"AAA", b"AA=A", b"AAA=AAAA", b"AA==\nAAAA", b"A!AA", b"====", b"AAAA=", b"Proc-Type: 4\nAAAA"]
)
def test_a_damaged_block_is_not_guessed_at(block: bytes) -> None:
    data = b"-----BEGIN X509 CRL-----\n" + block + b"\n-----END X509 CRL-----\n"
    try:
        found = find_lists(data)
    except ValueError:
        return
    assert found == []


def test_padding_in_the_middle_of_a_long_block_is_not_passed_over() -> None:
    text = b"A" * 262_140 + b"AA==" + b"A" * 1000
    with pytest.raises(ValueError, match="padding"):
        find_lists(b"-----BEGIN X509 CRL-----" + text + b"-----END X509 CRL-----\n")


def test_a_block_without_an_end_is_none() -> None:
    whole = armoured(b"\x30\x00")
    assert find_lists(b"-----BEGIN X509 CRL-----\nAAAA\n" + whole) == [b"\x30\x00"]
    assert find_lists(whole[:30]) == []
