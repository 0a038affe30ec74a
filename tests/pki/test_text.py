from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.pki.text import as_text

PEM = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_a_shell_did_to_pem_is_undone(encoding: str) -> None:
    mangled = PEM.decode().replace("\n", "\r\n").encode(encoding)
    assert as_text(mangled) == PEM


def test_der_is_left_as_it_is() -> None:
    der = b"\x30\x03\r\n\x02"
    assert as_text(der) == der


@given(st.binary())
def test_it_takes_whatever_comes_and_once_is_enough(data: bytes) -> None:
    once = as_text(data)
    if b"-----BEGIN" in once:
        assert as_text(once).count(b"\r\n") == 0
