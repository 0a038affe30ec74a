"""The header of an age file, hostile ones included."""

from __future__ import annotations

import base64

import pyrage
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keystead.custody.header import Header, read_header, scrypt_memory
from keystead.errors import BadInput


def header(*stanzas: str) -> bytes:
    return "\n".join(["age-encryption.org/v1", *stanzas, "body", "--- mac", "payload"]).encode()


def armored(data: bytes) -> bytes:
    middle = base64.encodebytes(data)
    return b"-----BEGIN AGE ENCRYPTED FILE-----\n" + middle + b"-----END AGE ENCRYPTED FILE-----\n"


@pytest.mark.parametrize("wrapped", [bytes, armored])
def test_the_work_factor_is_read_armored_or_not(wrapped: object) -> None:
    assert callable(wrapped)
    assert read_header(wrapped(header("-> scrypt c2FsdA 19")), "x") == Header(19)


def test_a_work_factor_says_how_much_memory_is_needed() -> None:
    assert Header(19).memory >> 20 == 523
    assert Header(None).memory == 0
    assert scrypt_memory(20) > 1 << 30


@pytest.mark.parametrize("arm", [True, False])
def test_a_file_sealed_to_an_identity_needs_no_memory(arm: bool) -> None:
    recipient = pyrage.x25519.Identity.generate().to_public()
    assert read_header(pyrage.encrypt(b"x", [recipient], armored=arm), "x") == Header(None)


@pytest.mark.parametrize("log_n", [23, 30, 63, 99])
def test_a_work_factor_beyond_the_bound_is_refused_before_any_work(log_n: int) -> None:
    with pytest.raises(BadInput, match="memory"):
        read_header(header(f"-> scrypt c2FsdA {log_n}"), "x")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        b"age-encryption.org/v1",
        b"age-encryption.org/v2\n-> scrypt c2FsdA 10\n",
        header("-> scrypt c2FsdA 010"),
        header("-> scrypt c2FsdA -1"),
        header("-> scrypt c2FsdA 100"),
        header("-> scrypt c2FsdA"),
        header("-> scrypt c2FsdA 10 10"),
        header("-> scrypt c2FsdA 10", "-> X25519 abc"),
        header("-> scrypt c2FsdA 10", "-> scrypt c2FsdA 22"),
        b"-----BEGIN AGE ENCRYPTED FILE-----\n!\n-----END AGE ENCRYPTED FILE-----",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
    ],
)
def test_what_age_does_not_write_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput, match="root"):
        read_header(data, "root.key.age")


@given(st.binary(max_size=300))
@example(b"-----BEGIN AGE ENCRYPTED FILE-----")
@example(b"age-encryption.org/v1\n-> \n")
def test_no_bytes_give_anything_but_an_error_with_a_mend(data: bytes) -> None:
    for attempt in (data, armored(data), b"age-encryption.org/v1\n-> " + data):
        try:
            assert read_header(attempt, "x").memory <= scrypt_memory(22)
        except BadInput as error:
            assert error.mend
