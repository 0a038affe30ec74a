from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystead.errors import Unavailable
from keystead.pki.names import TrustDomain
from keystead.pki.revocation import MAX_CRL_OCTETS
from keystead.tls.crlget import NO_VALIDATORS, Answer, Validators, get, trusting
from keystead.tls.crlurl import CrlUrl
from tests.tls.listserver import ListServer, Script, answers, list_server, says
from tests.tls.throwaway import Environment

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def server() -> Iterator[ListServer]:
    with list_server() as running:
        yield running


def ask(url: str, validators: Validators = NO_VALIDATORS, seconds: float = 5.0) -> Answer:
    return asyncio.run(get(CrlUrl.parse(url), validators, context=None, seconds=seconds))


def test_a_first_question_has_no_condition_and_takes_nothing_packed(server: ListServer) -> None:
    server.script = answers(b"lists", 'ETag: "one"', "Last-Modified: Wed, 25 Nov 2026 04:00:00 GMT")
    answer = ask(server.url)
    assert answer == Answer(b"lists", Validators(b'"one"', b"Wed, 25 Nov 2026 04:00:00 GMT"))
    (head,) = server.heads
    assert head.startswith("GET /crl.pem HTTP/1.1\r\n")
    assert "Accept-Encoding: identity\r\n" in head
    assert "If-" not in head


def test_a_later_question_has_both_conditions_and_304_says_that_nothing_changed(server: ListServer) -> None:
    server.script = says(b"HTTP/1.1 304 Not Modified\r\n\r\n")
    known = Validators(b'"one"', b"Wed, 25 Nov 2026 04:00:00 GMT")
    assert ask(server.url, known).body is None
    assert 'If-None-Match: "one"\r\n' in server.heads[0]
    assert "If-Modified-Since: Wed, 25 Nov 2026 04:00:00 GMT\r\n" in server.heads[0]


def test_a_body_may_come_in_chunks_or_end_with_the_connection(server: ListServer) -> None:
    server.script = says(CHUNKED, b"5\r\nlists\r\n0\r\n\r\n")
    assert ask(server.url).body == b"lists"
    server.script = says(b"HTTP/1.0 200 OK\r\n\r\nlists")
    assert ask(server.url).body == b"lists"


REFUSED: dict[str, tuple[Script, str]] = {
    "not found": (answers(b"", status="404 Not Found"), "it answers 404"),
    "a redirect": (answers(b"", "Location: http://else.example/", status="302 Found"), "redirects to"),
    "a 304 unasked": (says(b"HTTP/1.1 304 Not Modified\r\n\r\n"), "it answers 304"),
    "partial": (answers(b"lists", status="206 Partial Content"), "it answers 206"),
    "packed": (answers(gzip.compress(bytes(10_000_000)), "Content-Encoding: gzip"), "nothing is unpacked"),
    "ten gigabytes": (says(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n"), "larger than"),
    "cut off": (says(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nlis"), "HTTP"),
    "silence": (says(), "without an answer"),
    "no HTTP": (says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "HTTP"),
    "an endless head": (says(b"HTTP/1.1 200 OK\r\nX: ", bytes(100_000).replace(b"\0", b"x")), "HTTP"),
    "crumbs": (says(CHUNKED, b"1\r\nx\r\n" * 100_000), "small pieces"),
    "endless promises": (says(b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000), "small pieces"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_plain_whole_answer_is_refused_and_named(server: ListServer, kind: str) -> None:
    server.script, why = REFUSED[kind]
    with pytest.raises(Unavailable) as caught:
        ask(server.url)
    assert caught.value.code == "crl-unreachable"
    assert server.url in caught.value.what
    assert why in caught.value.why


def test_no_redirect_is_followed(server: ListServer) -> None:
    server.script = answers(b"", f"Location: {server.url}", status="301 Moved Permanently")
    with pytest.raises(Unavailable):
        ask(server.url)
    assert len(server.heads) == 1


def test_a_body_without_end_is_read_to_the_limit_alone(server: ListServer) -> None:
    sent = 0

    def pour(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        while True:
            sent += connection.send(bytes(1 << 20))

    server.script = pour
    with pytest.raises(Unavailable, match="no revocation list came") as caught:
        ask(server.url, seconds=30)
    assert "larger than" in caught.value.why
    assert sent < 2 * MAX_CRL_OCTETS


def test_a_dripped_answer_ends_at_the_deadline_and_the_loop_goes_on_meanwhile(server: ListServer) -> None:
    def drip(connection: socket.socket) -> None:
        for octet in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(1000):
            connection.sendall(bytes([octet]))
            if server.stopped.wait(0.02):
                return

    async def both() -> int:
        turns = 0
        asking = asyncio.create_task(get(CrlUrl.parse(server.url), NO_VALIDATORS, context=None, seconds=0.5))
        while not asking.done():
            await asyncio.sleep(0.01)
            turns += 1
        with pytest.raises(Unavailable) as caught:
            asking.result()
        assert "within 0.5 s" in caught.value.why
        return turns

    server.script = drip
    begun = time.monotonic()
    assert asyncio.run(both()) > 10
    assert time.monotonic() - begun < 3


def test_a_server_that_is_down_is_named(server: ListServer) -> None:
    server.stop()
    with pytest.raises(Unavailable, match="no revocation list came") as caught:
        ask(server.url)
    assert caught.value.why == "Connection refused"


@pytest.fixture(scope="module")
def env() -> Environment:
    return Environment(TrustDomain("dev.example.internal"))


def ask_over_tls(server: ListServer, env: Environment, host: str, tmp_path: Path) -> Answer:
    """As somebody who has the system's trust store and the root of ``env``."""
    shown = Environment(TrustDomain("dev.example.internal")) if host == "stranger" else env
    pair = shown.leaf("web", "server")
    (tmp_path / "chain").write_bytes(pair.chain_pem)
    (tmp_path / "key").write_bytes(pair.key_pem)
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(tmp_path / "chain", tmp_path / "key")
    server.script = answers(b"lists")
    to = "localhost" if host == "stranger" else host
    url = CrlUrl.parse(server.url.replace("http://127.0.0.1", f"https://{to}"))
    return asyncio.run(get(url, NO_VALIDATORS, context=trusting([env.root.certificate]), seconds=5))


def test_over_https_the_folders_own_root_is_trusted(
    server: ListServer, env: Environment, tmp_path: Path
) -> None:
    assert ask_over_tls(server, env, "localhost", tmp_path).body == b"lists"


@pytest.mark.parametrize("host", ["stranger", "127.0.0.1"])
def test_over_https_a_stranger_and_a_certificate_of_another_name_are_refused(
    server: ListServer, env: Environment, tmp_path: Path, host: str
) -> None:
    with pytest.raises(Unavailable) as caught:
        ask_over_tls(server, env, host, tmp_path)
    assert "not trusted" in caught.value.why
    assert server.heads == []
