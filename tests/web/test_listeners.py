"""Where a server listens."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import NotThere, Unavailable, WrongUsage
from keystead.web.listeners import Address, address_of, bind, parse_listen

GOOD = {
    "localhost:8443": ("localhost", 8443),
    "0.0.0.0:1": ("0.0.0.0", 1),
    "[::1]:0": ("::1", 0),
    "[::]:65535": ("::", 65535),
    "web.example.org:443": ("web.example.org", 443),
}
BAD = [
    "",
    "8443",
    ":8443",
    "localhost",
    "localhost:",
    "localhost:x",
    "localhost:65536",
    "::1:8443",
    "a:-1",
    "a:٣",
]


@pytest.mark.parametrize("text", GOOD)
def test_an_address_is_read(text: str) -> None:
    assert parse_listen(text) == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage):
        parse_listen(text)


@given(st.text())
def test_any_text_is_an_address_or_wrong_usage(text: str) -> None:
    try:
        host, port = parse_listen(text)
    except WrongUsage:
        return
    assert host
    assert 0 <= port <= 65535


def close(sockets: tuple[socket.socket, ...]) -> None:
    for sock in sockets:
        sock.close()


def test_a_name_binds_all_its_addresses_on_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{last}", 0)) for last in (1, 2, 3)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    sockets = bind(["several.example.org:0"])
    try:
        assert [address_of(sock).host for sock in sockets] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
        assert len({address_of(sock).port for sock in sockets}) == 1
    finally:
        close(sockets)


def test_an_address_that_this_machine_lacks_is_left_out_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("192.0.2.77", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    sockets = bind(["half.example.org:0"])
    try:
        assert [address_of(sock).host for sock in sockets] == ["127.0.0.1"]
    finally:
        close(sockets)


def test_an_address_that_this_machine_lacks_is_an_error_by_itself() -> None:
    with pytest.raises(Unavailable, match=r"192\.0\.2\.77"):
        bind(["192.0.2.77:0"])


def test_a_port_in_use_leaves_nothing_bound() -> None:
    first = bind(["127.0.0.1:0"])
    try:
        taken = address_of(first[0]).port
        free = socket.create_server(("127.0.0.1", 0))
        other = free.getsockname()[1]
        free.close()
        with pytest.raises(Unavailable):
            bind([f"127.0.0.1:{other}", f"127.0.0.1:{taken}"])
        close(bind([f"127.0.0.1:{other}"]))
    finally:
        close(first)


def test_a_name_that_does_not_resolve_is_said_so() -> None:
    with pytest.raises(NotThere, match=r"nowhere\.invalid"):
        bind(["nowhere.invalid:8443"])


def test_an_address_is_written_as_in_a_url() -> None:
    assert str(Address("::1", 8443)) == "[::1]:8443"
    assert str(Address("127.0.0.1", 8443)) == "127.0.0.1:8443"
