from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import BadInput
from keystead.pki.serials import make_serial, parse_serial, serial_hex

ENTROPY = st.binary(min_size=20, max_size=20)


@given(ENTROPY)
def test_a_serial_is_positive_and_fits_20_octets_of_der(entropy: bytes) -> None:
    serial = make_serial(entropy)
    assert 0 < serial < 2**159


@given(ENTROPY)
def test_a_serial_survives_its_text(entropy: bytes) -> None:
    text = serial_hex(make_serial(entropy))
    assert parse_serial(text) == text
    assert text == text.lower()


def test_all_159_bits_are_random() -> None:
    assert make_serial(b"\xff" * 20) == 2**159 - 1
    assert make_serial(b"\0" * 20) == 1


@pytest.mark.parametrize("length", [0, 19, 21])
def test_another_amount_of_entropy_is_a_mistake(length: int) -> None:
    with pytest.raises(ValueError, match="octets"):
        make_serial(b"x" * length)


@pytest.mark.parametrize("text", ["AB:CD", "0xabcd", " 00abcd\n", "00:AB:CD"])
def test_a_serial_may_be_typed_as_openssl_prints_it(text: str) -> None:
    assert parse_serial(text) == "abcd"


@pytest.mark.parametrize("text", ["", "0", "xyz", "-1", "a" * 41, "٣", "ab cd", "1.5"])
def test_what_can_be_no_serial_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_serial(text)
