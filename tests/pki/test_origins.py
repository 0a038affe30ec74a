"""What a file that turned up in the wrong place is, and whose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.pki.certificates import to_pem
from keystead.pki.origins import origin
from tests.pki.makers import Ca, csr_pem

CA = Ca()
FILES = {
    "the certificate of the CA 'Example prod root' of prod.example.internal": to_pem(CA.root.certificate),
    "the certificate of spiffe://prod.example.internal/client/alice": to_pem(CA.leaf("alice")),
    "": csr_pem("alice"),
}


@pytest.mark.parametrize("words", FILES)
def test_a_file_is_told_by_what_it_is_and_whose(words: str) -> None:
    assert origin(FILES[words]) == words


@given(st.binary())
def test_other_octets_are_nobody_s(data: bytes) -> None:
    assert origin(data) == ""
