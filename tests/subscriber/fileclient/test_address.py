"""Which server is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from keystead.errors import WrongUsage
from keystead.subscriber.fileclient.address import ServerAddress, choose, remember


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://db.example.org:8443", "https://db.example.org:8443"),
        ("https://db.example.org", "https://db.example.org:443"),
        ("https://DB.example.org:8443/", "https://db.example.org:8443"),
        ("https://localhost:8443/files/", "https://localhost:8443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("localhost", "https://localhost:8443"),
        ("localhost:9000", "https://localhost:9000"),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, url: str) -> None:
    assert ServerAddress.parse(text).url == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://localhost",
        "ftp://x",
        "https://",
        "https://x/other",
        "https://x?q",
        "https://x:99999",
        "https://[x",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage):
        ServerAddress.parse(text)


@pytest.mark.parametrize(
    "text", ["https://alice:secret@host:8443", "https://alice@host:8443", "alice:secret@host:8443"]
)
def test_a_password_is_refused_with_the_alternative_and_not_repeated(text: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        ServerAddress.parse(text)
    assert "certificate" in caught.value.why
    assert caught.value.mend == "write it without: https://host:8443"
    assert "secret" not in str(caught.value)


def test_the_given_one_counts_before_the_environments_the_last_and_localhost(tmp_path: Path) -> None:
    environ = {"KEYSTEAD_SERVER": "https://from-environment:1"}
    assert choose(None, {}, tmp_path).url == "https://localhost:8443"
    remember(ServerAddress("last", 2), tmp_path)
    assert choose(None, {}, tmp_path).url == "https://last:2"
    assert choose(None, environ, tmp_path).url == "https://from-environment:1"
    assert choose("https://given:3", environ, tmp_path).url == "https://given:3"


def test_a_hint_that_cannot_be_read_or_written_is_none(tmp_path: Path) -> None:
    (tmp_path / ".last-server").write_text("not an address at all")
    assert choose(None, {}, tmp_path).url == "https://localhost:8443"
    remember(ServerAddress("last", 2), tmp_path / "missing")
