"""Keys: the types that are made here, signing with them, and whether somebody's public key is strong enough.

Not here: where a private key lies and how it is opened (`custody`).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from keystead.errors import BadInput, Violation, WrongUsage

PrivateKey = (
    ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | mldsa.MLDSA65PrivateKey | rsa.RSAPrivateKey
)
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | mldsa.MLDSA65PublicKey | rsa.RSAPublicKey

SHA2 = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

MIN_RSA_BITS: Final = 2048
"""CA/Browser Forum Baseline Requirements, section 6.1.5; NIST SP 800-57 part 1, table 2."""

MAX_RSA_BITS: Final = 8192
"""Beyond it one verification costs a server more than the caller pays for asking."""

MIN_RSA_EXPONENT: Final = 65537
"""NIST SP 800-56B, section 6.2: odd, above 2^16 and below 2^256."""

_BADKEYS_CHECKS = ("fermat", "roca", "rsainvalid", "rsapoly", "sharedprimes", "smalld", "smallfactors")

_CURVE_DIGESTS: Mapping[str, SHA2] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}


class KeyType(StrEnum):
    """The keys that keystead makes, by the name that ``--key-type`` takes."""

    P256 = "p256"
    P384 = "p384"
    ED25519 = "ed25519"
    RSA3072 = "rsa3072"
    RSA4096 = "rsa4096"
    ML_DSA_65 = "ml-dsa-65"

    @property
    def is_experimental(self) -> bool:
        """Whether it is made only where somebody asks for it by name, and is told so."""
        return self is KeyType.ML_DSA_65


KEY_TYPES: Final = ", ".join(f"{name} (experimental)" if name.is_experimental else name for name in KeyType)
"""What there is to choose from, in words."""

EXPERIMENTAL: Final = (
    "ML-DSA-65 (FIPS 204, RFC 9881) is experimental: it holds against quantum computers, and most programs"
    " cannot read it yet (OpenSSL from 3.5 on can)"
)
"""What is said out loud wherever such a key is made or certified."""


_GENERATORS: Mapping[KeyType, Callable[[], PrivateKey]] = {
    KeyType.P256: lambda: ec.generate_private_key(ec.SECP256R1()),
    KeyType.P384: lambda: ec.generate_private_key(ec.SECP384R1()),
    KeyType.ED25519: ed25519.Ed25519PrivateKey.generate,
    KeyType.RSA3072: lambda: rsa.generate_private_key(65537, 3072),
    KeyType.RSA4096: lambda: rsa.generate_private_key(65537, 4096),
    KeyType.ML_DSA_65: mldsa.MLDSA65PrivateKey.generate,
}


_BY_NAME: Mapping[str, KeyType] = {key_type.replace("-", ""): key_type for key_type in KeyType}


def parse_key_type(text: str) -> KeyType:
    """The key type that ``text`` names (``P-256``, ``rsa-3072``, ``ed25519``); raises `WrongUsage`."""
    try:
        return _BY_NAME[text.lower().replace("-", "")]
    except KeyError:
        raise WrongUsage(
            f"{text!r} is not a key type",
            mend=f"choose one of {KEY_TYPES}: --key-type TYPE",
        ) from None


def generate(key_type: KeyType) -> PrivateKey:
    """A new private key, from the operating system's randomness."""
    return _GENERATORS[key_type]()


def describe(key: PublicKeyTypes) -> str:
    """A public key's type in words: ``P-256``, ``RSA 3072``, ``Ed25519``."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}.get(
            key.curve.name, key.curve.name
        )
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if is_experimental(key):
        return "ML-DSA-65"
    return type(key).__name__.removesuffix("PublicKey").lstrip("_")


def is_experimental(key: PublicKeyTypes) -> bool:
    """Whether ``key`` is of a type that is certified only where a CA or a profile says so."""
    return isinstance(key, mldsa.MLDSA65PublicKey)


def private_pem(key: PrivateKey) -> bytes:
    """The key as unencrypted PKCS#8 PEM (RFC 5958): for files of mode 0600 and for sealing.

    Of ML-DSA it holds the seed alone (RFC 9881, section 6), from which the key is made again.
    """
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_private_pem(data: bytes, source: str) -> PrivateKey:
    """The private key in ``data`` (PEM); ``source`` names it in errors. Raises `BadInput`.

    Whatever goes wrong, no octet of ``data`` is in the error.
    """
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except TypeError:
        raise BadInput(
            f"{source} is encrypted with a passphrase",
            why="keystead guards subscribers' keys by file permissions, so that services start unattended",
            mend=f"openssl pkey -in {shlex.quote(source)} -out {shlex.quote(source)}.plain"
            "   (then chmod 600, and put it in its place)",
            code="encrypted-key",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadInput(
            f"{source} holds no private key that can be read",
            why="a private key is PEM text that begins with -----BEGIN PRIVATE KEY-----",
            code="bad-key",
        ) from None
    if not isinstance(key, PrivateKey):
        raise BadInput(
            f"{source} holds a key of a type that keystead does not use",
            mend=f"make one of {KEY_TYPES}",
            code="bad-key",
        )
    return key


_HASHLESS = (
    ed25519.Ed25519PrivateKey,
    ed25519.Ed25519PublicKey,
    mldsa.MLDSA65PrivateKey,
    mldsa.MLDSA65PublicKey,
)


def digest_for(key: PrivateKey | PublicKey) -> SHA2 | None:
    """The hash that a signature by ``key`` uses; None where it brings its own (RFC 8410, RFC 9881)."""
    if isinstance(key, _HASHLESS):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return _CURVE_DIGESTS[key.curve.name]
    return hashes.SHA256()


def sign(key: PrivateKey, data: bytes) -> bytes:
    """A signature over ``data``: ECDSA, Ed25519, ML-DSA or RSASSA-PKCS1-v1_5 by the key's type."""
    if isinstance(key, ed25519.Ed25519PrivateKey | mldsa.MLDSA65PrivateKey):
        return key.sign(data)
    digest = digest_for(key)
    assert digest is not None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(digest))
    return key.sign(data, padding.PKCS1v15(), digest)


def is_signed_by(key: PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether `sign` with the private half of ``key`` made ``signature`` over ``data``."""
    try:
        if isinstance(key, ed25519.Ed25519PublicKey | mldsa.MLDSA65PublicKey):
            key.verify(signature, data)
            return True
        digest = digest_for(key)
        assert digest is not None
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(digest))
        else:
            key.verify(signature, data, padding.PKCS1v15(), digest)
    except InvalidSignature:
        return False
    return True


def weaknesses(key: PublicKeyTypes) -> tuple[Violation, ...]:
    """Why ``key`` is not strong enough to be certified; empty where it is.

    RSA keys also go through badkeys' off-line checks (ROCA, Fermat, shared primes of broken generators).
    Debian's predictable keys are not known here: the list of them is a download.
    """
    if isinstance(key, rsa.RSAPublicKey):
        return _rsa_weaknesses(key)
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name in _CURVE_DIGESTS:
            return ()
        return (_weak(f"the curve {key.curve.name} is not accepted"),)
    if isinstance(key, ed25519.Ed25519PublicKey | mldsa.MLDSA65PublicKey):
        return ()
    return (_weak(f"keys of type {describe(key)} are not accepted"),)


def _weak(what: str) -> Violation:
    return Violation("weak-key", what, "make a new key, for example with: keystead csr NAME --key-type p256")


def _rsa_weaknesses(key: rsa.RSAPublicKey) -> tuple[Violation, ...]:
    numbers = key.public_numbers()
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        return (_weak(f"an RSA key of {key.key_size} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted"),)
    if numbers.e < MIN_RSA_EXPONENT or numbers.e % 2 == 0 or numbers.e.bit_length() > 256:
        return (_weak(f"an RSA key with the exponent {numbers.e}; it must be odd and at least 65537"),)
    return _known_bad(numbers.n, numbers.e)


def _known_bad(modulus: int, exponent: int) -> tuple[Violation, ...]:
    from badkeys.checks import checkrsa  # noqa: PLC0415  a quarter of a second, for RSA keys alone

    # badkeys' blocklist is left out: without its download that check ends the process.
    found = checkrsa(modulus, exponent, checks=_BADKEYS_CHECKS)
    return tuple(_weak(f"an RSA key that is known to be broken ({name})") for name in sorted(found))
