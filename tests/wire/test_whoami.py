"""Whom the server sees, as it travels."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import BadInput
from keystead.pki.names import Identity, TrustDomain
from keystead.wire.whoami import Caller

ALICE = Caller(
    Identity(TrustDomain("dev.example.internal"), "client", "alice"), "1f", datetime(2030, 1, 1, tzinfo=UTC)
)


def test_a_caller_survives_the_journey() -> None:
    assert Caller.parse(ALICE.to_json()) == ALICE


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"{}", b"[]", b"3", b'{"identity": "alice"}', b"[" * 10_000]
)
def test_an_answer_of_another_kind_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        Caller.parse(data)
    assert caught.value.code == "bad-answer"


@given(st.binary(max_size=200))
def test_any_bytes_are_either_a_caller_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadInput):
        Caller.parse(data)
