from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import WrongUsage
from keystead.pki.fingerprints import Fingerprint
from tests.pki.makers import Ca, key

FINGERPRINT = Fingerprint(sha256(b"a key").digest())


def test_a_keys_fingerprint_is_the_sha256_of_its_subject_public_key_info() -> None:
    spki = key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert Fingerprint.of_key(key().public_key()).hex == sha256(spki).hexdigest()


def test_a_certificates_fingerprint_is_what_openssl_prints(program: Callable[[str], str]) -> None:
    root = Ca().root.certificate
    printed = subprocess.run(
        [program("openssl"), "x509", "-noout", "-fingerprint", "-sha256"],
        input=root.public_bytes(Encoding.PEM),
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert Fingerprint.of_certificate(root).matches(printed.partition("=")[2])


def test_it_is_shown_as_128_bits_in_eight_groups_of_four() -> None:
    assert str(FINGERPRINT) == ":".join(FINGERPRINT.hex[i : i + 4] for i in range(0, 32, 4))


@pytest.mark.parametrize(
    "spell",
    [
        str,
        lambda fp: str(fp).upper(),
        lambda fp: str(fp).replace(":", ""),
        lambda fp: str(fp).replace(":", " "),
        lambda fp: str(fp).replace(":", "-"),
        lambda fp: fp.hex,
        lambda fp: f"SHA256:{fp.hex}",
        lambda fp: f" {fp}\n",
    ],
)
def test_the_shown_and_the_whole_match_however_they_are_typed(spell: Callable[[Fingerprint], str]) -> None:
    assert FINGERPRINT.matches(spell(FINGERPRINT))


@given(st.integers(0, 64).filter(lambda length: length not in (32, 64)))
def test_never_less_than_128_bits_are_compared(length: int) -> None:
    with pytest.raises(WrongUsage, match="is not a fingerprint"):
        FINGERPRINT.matches(FINGERPRINT.hex[:length])


@given(st.integers(0, 63))
def test_one_wrong_digit_anywhere_is_told(place: int) -> None:
    wrong = "0" if FINGERPRINT.hex[place] != "0" else "1"
    text = FINGERPRINT.hex[:place] + wrong + FINGERPRINT.hex[place + 1 :]
    assert not FINGERPRINT.matches(text)
    assert FINGERPRINT.matches(text[:32]) is (place >= 32)


@given(st.text(max_size=70))
def test_what_is_no_fingerprint_is_refused_or_does_not_match(text: str) -> None:
    with contextlib.suppress(WrongUsage):
        assert not FINGERPRINT.matches(text)


@pytest.mark.parametrize("text", ["٠" * 32, "g" * 32, "0x" + "0" * 30, FINGERPRINT.hex + "00"])
def test_digits_that_are_no_hex_are_refused(text: str) -> None:
    with pytest.raises(WrongUsage):
        FINGERPRINT.matches(text)
