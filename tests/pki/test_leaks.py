from __future__ import annotations

from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from keystead.ca.authority.submit import PrivateKeyReceived, examine
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import KeyType, PrivateKey
from keystead.pki.leaks import holds_private_key, leaked_keys
from tests.pki.makers import csr_pem, key

PLAIN = NoEncryption()
SEALED = BestAvailableEncryption(b"secret")
EC, RSA = key(), key("rsa", KeyType.RSA3072)


def pem(of: PrivateKey = EC, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return of.private_bytes(Encoding.PEM, form, PLAIN)


def fingerprint(of: PrivateKey = EC) -> Fingerprint:
    return Fingerprint.of_key(of.public_key())


READABLE: Mapping[str, bytes] = {
    "PKCS#8 PEM": pem(),
    "SEC1 PEM (BEGIN EC PRIVATE KEY)": pem(form=PrivateFormat.TraditionalOpenSSL),
    "PKCS#8 DER": EC.private_bytes(Encoding.DER, PrivateFormat.PKCS8, PLAIN),
    "SEC1 DER": EC.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, PLAIN),
    "OpenSSH": pem(form=PrivateFormat.OpenSSH),
    "with CRLF": pem().replace(b"\n", b"\r\n"),
    "with a byte order mark": b"\xef\xbb\xbf" + pem(),
    "with text before and after": b"Bag Attributes\n  friendlyName: x-y\n" + pem() + b"thanks!\n-- \nAlice",
    "without its last line end": pem().rstrip(b"\n"),
    "before the CSR in one file": pem() + csr_pem(),
    "after the CSR in one file": csr_pem() + pem(),
    "after EC PARAMETERS": b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    + pem(form=PrivateFormat.TraditionalOpenSSL),
    "in UTF-16, as PowerShell writes it": pem().decode().encode("utf-16"),
    "a CSR and it in UTF-16": (csr_pem() + pem()).decode().encode("utf-16"),
}

ENCRYPTED: Mapping[str, bytes] = {
    "PKCS#8 PEM": EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, SEALED),
    "PKCS#8 DER": EC.private_bytes(Encoding.DER, PrivateFormat.PKCS8, SEALED),
    "traditional PEM (DEK-Info)": RSA.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, SEALED),
    "inside the CSR's file": csr_pem() + EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, SEALED),
    "cut off": pem()[: len(pem()) // 2],
}


@pytest.mark.parametrize("data", READABLE.values(), ids=READABLE)
def test_a_readable_private_key_is_found_and_named_by_its_public_half(data: bytes) -> None:
    assert holds_private_key(data)
    assert leaked_keys(data) == {fingerprint()}


@pytest.mark.parametrize("data", ENCRYPTED.values(), ids=ENCRYPTED)
def test_an_encrypted_or_broken_private_key_is_found_but_cannot_be_named(data: bytes) -> None:
    assert holds_private_key(data)
    assert leaked_keys(data) == frozenset()


def test_an_rsa_key_in_its_traditional_form_is_found() -> None:
    assert leaked_keys(pem(RSA, PrivateFormat.TraditionalOpenSSL)) == {fingerprint(RSA)}


def test_all_of_several_keys_in_one_file_are_found() -> None:
    data = pem() + csr_pem() + pem(RSA) + ENCRYPTED["PKCS#8 PEM"]
    assert leaked_keys(data) == {fingerprint(), fingerprint(RSA)}


@pytest.mark.parametrize(
    "other",
    [
        ed448.Ed448PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256K1()),
        dsa.generate_private_key(1024),
    ],
    ids=["Ed448", "secp256k1", "DSA"],
)
def test_a_key_of_a_type_that_is_never_certified_is_a_private_key_all_the_same(
    other: ed448.Ed448PrivateKey | ec.EllipticCurvePrivateKey | dsa.DSAPrivateKey,
) -> None:
    data = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, PLAIN)
    assert holds_private_key(data)
    assert leaked_keys(data) == {Fingerprint.of_key(other.public_key())}


@pytest.mark.parametrize("data", [csr_pem(), b"", b"-----BEGIN", b"PRIVATE KEY", b"\x30\x00", b"\xff\xfe"])
def test_what_holds_no_private_key_is_not_taken_for_one(data: bytes) -> None:
    assert not holds_private_key(data)
    assert leaked_keys(data) == frozenset()


@pytest.mark.parametrize("data", [*READABLE.values(), *ENCRYPTED.values()], ids=[*READABLE, *ENCRYPTED])
def test_nothing_of_the_private_key_is_in_the_error(data: bytes) -> None:
    with pytest.raises(PrivateKeyReceived) as received:
        examine(data, "alice.csr")
    error = received.value
    shown = f"{error}{error!r}{error.__dict__}{error.args}{error.__cause__}"
    body = [line for line in pem().decode().splitlines() if "-----" not in line]
    assert isinstance(EC, ec.EllipticCurvePrivateKey)
    secret = EC.private_numbers().private_value
    assert not any(line in shown for line in body)
    assert f"{secret:x}" not in shown.lower()
    assert str(secret) not in shown


def test_the_error_says_what_to_do_and_whether_the_key_is_barred() -> None:
    with pytest.raises(PrivateKeyReceived, match="treated as compromised") as readable:
        examine(READABLE["PKCS#8 PEM"], "alice.csr")
    assert str(fingerprint()) in readable.value.why
    assert "keystead csr" in readable.value.mend
    with pytest.raises(PrivateKeyReceived) as sealed:
        examine(ENCRYPTED["PKCS#8 PEM"], "alice.csr")
    assert "nothing could be barred" in sealed.value.why


@given(
    st.binary(max_size=300)
    | st.just(pem()).flatmap(lambda good: st.integers(0, len(good)).map(lambda n: good[:n]))
)
def test_no_bytes_make_the_search_fail(data: bytes) -> None:
    holds_private_key(data)
    leaked_keys(data)
