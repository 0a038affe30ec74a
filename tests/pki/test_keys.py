from __future__ import annotations

import math
from base64 import b64decode
from pathlib import Path

import gmpy2  # type: ignore[import-untyped]  # it has none; badkeys brings it
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, mldsa, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from keystead.errors import BadInput, WrongUsage
from keystead.pki.keys import (
    KeyType,
    describe,
    is_experimental,
    is_signed_by,
    load_private_pem,
    parse_key_type,
    private_pem,
    sign,
    weaknesses,
)
from tests.pki.makers import key

VECTORS = Path(__file__).parents[1] / "vectors"


def typed_key(key_type: KeyType) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    return key(f"a {key_type} key", key_type)  # type: ignore[return-value]  # what tests do with it, all can


def rsa_key(modulus: int, exponent: int = 65537) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


@pytest.mark.parametrize("key_type", KeyType)
def test_each_key_type_signs_what_its_public_half_verifies(key_type: KeyType) -> None:
    signature = sign(typed_key(key_type), b"data")
    public = typed_key(key_type).public_key()
    assert is_signed_by(public, signature, b"data")
    assert not is_signed_by(public, signature, b"other data")
    assert not is_signed_by(public, signature[:-1], b"data")
    assert not is_signed_by(public, b"", b"data")


@pytest.mark.parametrize("key_type", KeyType)
def test_a_signature_of_another_key_is_refused(key_type: KeyType) -> None:
    signature = sign(key("somebody else"), b"data")
    assert not is_signed_by(typed_key(key_type).public_key(), signature, b"data")


@pytest.mark.parametrize("key_type", KeyType)
def test_each_key_type_is_strong_and_survives_its_pem(key_type: KeyType) -> None:
    made = typed_key(key_type)
    assert weaknesses(made.public_key()) == ()
    again = load_private_pem(private_pem(made), "a.key")
    assert again.public_key() == made.public_key()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("P-256", KeyType.P256),
        ("RSA-3072", KeyType.RSA3072),
        ("ed25519", KeyType.ED25519),
        ("ML-DSA-65", KeyType.ML_DSA_65),
        ("mldsa65", KeyType.ML_DSA_65),
    ],
)
def test_a_key_type_may_be_spelled_as_people_do(text: str, meant: KeyType) -> None:
    assert parse_key_type(text) is meant


@pytest.mark.parametrize("key_type", KeyType)
def test_a_key_in_words_is_its_type_as_people_spell_it(key_type: KeyType) -> None:
    assert parse_key_type(describe(typed_key(key_type).public_key()).replace(" ", "")) is key_type


def test_of_ml_dsa_the_seed_alone_is_written() -> None:
    der = b64decode(b"".join(private_pem(typed_key(KeyType.ML_DSA_65)).splitlines()[1:-1]))
    assert len(der) == 54  # RFC 9881, section 6: the seed has 32 octets, the expanded key 4032


def test_one_type_alone_is_experimental() -> None:
    assert [key_type for key_type in KeyType if key_type.is_experimental] == [KeyType.ML_DSA_65]
    experimental = [key_type for key_type in KeyType if is_experimental(typed_key(key_type).public_key())]
    assert experimental == [KeyType.ML_DSA_65]


@pytest.mark.parametrize("text", ["", "rsa", "rsa1024", "p521", "dsa", "ml-dsa-44"])
def test_a_key_type_that_is_not_made_here_is_refused_naming_those_that_are(text: str) -> None:
    with pytest.raises(WrongUsage, match="p256, p384, ed25519"):
        parse_key_type(text)


def roca_modulus() -> int:
    lines = (VECTORS / "roca-modulus.txt").read_text().splitlines()
    return int("".join(line for line in lines if not line.startswith("#")), 16)


def close_primes() -> int:
    start = math.isqrt(2**2047) + 1
    return int(gmpy2.next_prime(start) * gmpy2.next_prime(start + 2**20))


WEAK: dict[str, PublicKeyTypes] = {
    "RSA of 1024 bits": rsa.generate_private_key(65537, 1024).public_key(),
    "RSA of 2047 bits": rsa_key(2**2046 + 1),
    "RSA of 8200 bits": rsa_key(2**8199 + 1),
    "RSA with the exponent 3": rsa_key(roca_modulus(), 3),
    "RSA with the exponent 17": rsa_key(roca_modulus(), 17),
    "RSA with an exponent beyond 256 bits": rsa_key(roca_modulus(), 2**256 + 1),
    "RSA of a ROCA chip": rsa_key(roca_modulus()),
    "RSA of two close primes": rsa_key(close_primes()),
    "RSA with a small factor": rsa_key(3 * (2**2047 // 3 | 1)),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()).public_key(),
    "P-224": ec.generate_private_key(ec.SECP224R1()).public_key(),
    "brainpoolP256r1": ec.generate_private_key(ec.BrainpoolP256R1()).public_key(),
    "ML-DSA-44": mldsa.MLDSA44PrivateKey.generate().public_key(),
    "DSA": dsa.generate_private_key(1024).public_key(),
    "Ed448": ed448.Ed448PrivateKey.generate().public_key(),
    "X25519": x25519.X25519PrivateKey.generate().public_key(),
}


@pytest.mark.parametrize("public", WEAK.values(), ids=WEAK)
def test_a_weak_key_is_refused_with_one_violation_that_says_what_it_is(public: PublicKeyTypes) -> None:
    found = weaknesses(public)
    assert [violation.code for violation in found] == ["weak-key"] * len(found)
    assert found
    assert all(violation.what and "keystead csr" in violation.mend for violation in found)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("RSA of 1024 bits", "1024 bits"),
        ("RSA with the exponent 3", "exponent 3"),
        ("RSA of a ROCA chip", "roca"),
        ("RSA of two close primes", "fermat"),
        ("secp256k1", "secp256k1"),
        ("DSA", "DSA"),
        ("Ed448", "Ed448"),
    ],
)
def test_the_violation_names_the_weakness(kind: str, said: str) -> None:
    assert any(said in violation.what for violation in weaknesses(WEAK[kind]))


def test_an_even_exponent_is_refused() -> None:
    class Even:
        """cryptography makes no such key, but a signer of another library might."""

        key_size = 2048

        def public_numbers(self) -> rsa.RSAPublicNumbers:
            return rsa.RSAPublicNumbers(65538, roca_modulus())

    rsa.RSAPublicKey.register(Even)
    (violation,) = weaknesses(Even())  # type: ignore[arg-type]  # registered a line above
    assert "exponent 65538" in violation.what


@pytest.mark.parametrize(
    ("public", "words"),
    [(key().public_key(), "P-256"), (WEAK["DSA"], "DSA"), (WEAK["RSA of 1024 bits"], "RSA 1024")],
)
def test_a_key_is_described_as_people_name_it(public: PublicKeyTypes, words: str) -> None:
    assert describe(public) == words


def test_an_encrypted_key_is_refused_with_the_command_that_opens_it() -> None:
    sealed = key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    with pytest.raises(BadInput, match="encrypted") as refused:
        load_private_pem(sealed, "alice.key")
    assert "openssl pkey" in refused.value.mend


def test_a_key_of_a_type_that_is_not_used_is_refused() -> None:
    other = ed448.Ed448PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(BadInput, match="of a type"):
        load_private_pem(other, "alice.key")


def test_a_broken_key_is_refused_and_nothing_of_it_is_told() -> None:
    pem = private_pem(key()).decode()
    line = pem.splitlines()[1]
    with pytest.raises(BadInput) as refused:
        load_private_pem(pem.replace(line, line[:-9] + "!" * 9).encode(), "alice.key")
    assert line[:16] not in f"{refused.value}{refused.value!r}{refused.value.__cause__}"
