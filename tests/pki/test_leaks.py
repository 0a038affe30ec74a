from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
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
EC, RSA, ED = key(), key("rsa", KeyType.RSA3072), key("ed", KeyType.ED25519)


def pem(of: PrivateKey = EC, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return of.private_bytes(Encoding.PEM, form, PLAIN)


def fingerprint(of: PrivateKey = EC) -> Fingerprint:
    return Fingerprint.of_key(of.public_key())


def der(of: PrivateKey = EC) -> bytes:
    return of.private_bytes(Encoding.DER, PrivateFormat.PKCS8, PLAIN)


def pfx(password: bytes = b"") -> bytes:
    sealing = BestAvailableEncryption(password) if password else PLAIN
    assert isinstance(EC, ec.EllipticCurvePrivateKey)
    return pkcs12.serialize_key_and_certificates(b"alice", EC, None, None, sealing)


def jwk(of: PrivateKey = EC) -> bytes:
    def text(number: int) -> str:
        return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).decode().rstrip("=")

    members: dict[str, str]
    if isinstance(of, ec.EllipticCurvePrivateKey):
        numbers = of.private_numbers()
        x, y = numbers.public_numbers.x, numbers.public_numbers.y
        members = {"kty": "EC", "crv": "P-256", "x": text(x), "y": text(y), "d": text(numbers.private_value)}
    elif isinstance(of, rsa.RSAPrivateKey):
        its = of.private_numbers()
        members = {"kty": "RSA", "n": text(its.public_numbers.n), "e": text(its.public_numbers.e)}
        members |= {"d": text(its.d), "p": text(its.p), "q": text(its.q)}
        members |= {"dp": text(its.dmp1), "dq": text(its.dmq1), "qi": text(its.iqmp)}
    else:
        assert isinstance(of, ed25519.Ed25519PrivateKey)
        secret = int.from_bytes(of.private_bytes_raw())
        members = {"kty": "OKP", "crv": "Ed25519", "d": text(secret)}
    return json.dumps(members, indent=1).encode()


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
    "in UTF-16 without a byte order mark": pem().decode().encode("utf-16-le"),
    "in UTF-16 after a CSR in ASCII": csr_pem() + pem().decode().encode("utf-16"),
    "DER after a CSR": csr_pem() + der(),
    "bare base64": base64.encodebytes(der()),
    "bare base64 in one line": base64.b64encode(der()),
    "bare base64 after a CSR": csr_pem() + base64.encodebytes(der()),
    "quoted in a mail": b"".join(b"> " + line for line in pem().splitlines(keepends=True)),
    "as text in JSON": json.dumps({"private_key": pem().decode()}).encode(),
    "without its footer": pem().partition(b"-----END")[0],
    "under a header in small letters": csr_pem() + pem().replace(b"PRIVATE KEY", b"private key"),
    "under a header that says something else": csr_pem() + pem().replace(b"PRIVATE KEY", b"CERTIFICATE"),
    "PKCS#12 without a password": pfx(),
    "PKCS#12 after a CSR": csr_pem() + pfx(),
    "PKCS#12 in base64": csr_pem() + base64.encodebytes(pfx()),
    "JWK": jwk(),
    "JWK set after a CSR": csr_pem() + b'{"keys": [' + jwk() + b"]}",
}

ENCRYPTED: Mapping[str, bytes] = {
    "PKCS#8 PEM": EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, SEALED),
    "PKCS#8 DER": EC.private_bytes(Encoding.DER, PrivateFormat.PKCS8, SEALED),
    "traditional PEM (DEK-Info)": RSA.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, SEALED),
    "inside the CSR's file": csr_pem() + EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, SEALED),
    "cut off": pem()[: len(pem()) // 2],
    "PKCS#12": pfx(b"secret"),
    "PKCS#12 after a CSR": csr_pem() + pfx(b"secret"),
    "bare base64": base64.encodebytes(EC.private_bytes(Encoding.DER, PrivateFormat.PKCS8, SEALED)),
    "JWK with nonsense": b'{"kty": "EC", "crv": "P-1", "d": "AA"}',
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


@pytest.mark.parametrize("of", [RSA, ED], ids=["RSA", "Ed25519"])
def test_a_jwk_of_another_type_is_found(of: PrivateKey) -> None:
    assert leaked_keys(jwk(of)) == {fingerprint(of)}


def test_somebody_elses_public_key_beside_ones_own_private_half_bars_nothing_of_theirs() -> None:
    own, theirs = key("own"), key("theirs")
    own_point, their_point = (
        k.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) for k in (own, theirs)
    )
    forged_jwk = json.loads(jwk(theirs)) | {"d": json.loads(jwk(own))["d"]}
    for forged in (der(own).replace(own_point, their_point), csr_pem() + json.dumps(forged_jwk).encode()):
        assert fingerprint(theirs) not in leaked_keys(forged)


@pytest.mark.parametrize(
    "piece",
    [
        b"-----BEGIN PRIVATE KEY-----",
        b"-----BEGIN PRIVATE KEY-----\n-----END X-----\n",
        b"\x30\x82\xff\xff\x02\x01\x00\x30",
        b"\x30\x80\x02\x01\x03\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07",
        b"MA ",
        b"{",
        b'{"kty":1,"d":2}',
        b"\\n",
    ],
)
def test_a_file_full_of_beginnings_takes_no_more_than_a_moment(piece: bytes) -> None:
    begun = time.process_time()
    leaked_keys(piece * (256 * 1024 // len(piece)))
    assert time.process_time() - begun < 5


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
