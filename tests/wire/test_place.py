from __future__ import annotations

import pytest

from keystead.wire.place import place_of


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", "localhost:8443"), ("192.0.2.1", "192.0.2.1:8443"), ("::1", "[::1]:8443")],
)
def test_an_ipv6_address_stands_in_brackets(host: str, expected: str) -> None:
    assert place_of(host, 8443) == expected
