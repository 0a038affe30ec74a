from __future__ import annotations

import pytest

from keystead.errors import WrongUsage
from keystead.tls.crlurl import CrlUrl, is_url


def test_a_url_says_where_to_connect_and_what_to_ask() -> None:
    url = CrlUrl.parse("http://pki.example.org/crl/all.pem?env=dev")
    assert (url.scheme, url.host, url.port, url.target) == (
        "http",
        "pki.example.org",
        80,
        "/crl/all.pem?env=dev",
    )
    assert CrlUrl.parse("https://pki.example.org").target == "/"


@pytest.mark.parametrize(
    ("text", "authority"),
    [
        ("http://pki.example.org/x", "pki.example.org"),
        ("https://pki.example.org:443/x", "pki.example.org"),
        ("http://pki.example.org:443/x", "pki.example.org:443"),
        ("http://[::1]/x", "[::1]"),
        ("http://[::1]:8080/x", "[::1]:8080"),
    ],
)
def test_the_host_field_has_the_port_only_where_it_is_not_the_usual_one(text: str, authority: str) -> None:
    assert CrlUrl.parse(text).authority == authority


@pytest.mark.parametrize("text", ["http://eve:hunter2@pki.example.org/", "https://hunter2@pki.example.org/"])
def test_a_url_with_a_password_is_refused_with_the_alternative_and_not_repeated(text: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        CrlUrl.parse(text)
    assert "curl --netrc" in caught.value.mend
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "ftp://pki.example.org/crl.pem",
        "file:///etc/crl.pem",
        "http:///crl.pem",
        "http://pki.example.org:99999/",
        "http://a:hunter2@[::1/",
        "http://pki.example.org/a b",
        "http://pki.example.org/\r\nX: y",
        "http://pki.example.org/ä",
        "http://pki.example.org/#part",
        "http://pki example.org/",
        "http://pki.example.org/" + "x" * 3000,
    ],
)
def test_what_is_no_usable_url_is_wrong_usage(text: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        CrlUrl.parse(text)
    assert "hunter2" not in str(caught.value)


def test_a_url_is_told_from_the_name_of_a_file() -> None:
    assert is_url("HTTP://pki.example.org/")
    assert is_url("ftp://pki.example.org/")
    assert not is_url("certs/crl.pem")
    assert not is_url("C:crl.pem")
