"""Websockets behind the same door."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

from keystead.tls.peer import peer_of
from keystead.web.limits import Limits
from tests.tls.doors import until
from tests.tls.rawclient import RawClient
from tests.tls.throwaway import Environment, Pair
from tests.web.apps import Uploads, read_answer

pytestmark = pytest.mark.slow

UPGRADE = (
    b"GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Chat:
    """Says who is there, then echoes."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            raise RuntimeError("only websockets here")
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": str(peer_of(scope).identity)})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        self.ends.append(message["type"])


def text_frame(text: bytes) -> bytes:
    """A masked frame of a client (RFC 6455, section 5.2); a mask of zeros leaves the text as it is."""
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text


def read_text(client: RawClient) -> bytes:
    _, length = client.recv_exactly(2)
    return client.recv_exactly(length)


def open_chat(client: RawClient) -> None:
    client.send(UPGRADE)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv_exactly(1)
    assert head.startswith(b"HTTP/1.1 101 ")


def test_a_websocket_knows_its_peer(serve: Any, alice: Pair) -> None:
    with serve(Chat()) as served, served.client(alice) as client:
        open_chat(client)
        assert read_text(client) == b"client/alice"
        client.send(text_frame(b"hello"))
        assert read_text(client) == b"hello"


def test_a_websocket_is_a_line_of_the_log_at_its_end(serve: Any, alice: Pair) -> None:
    chat = Chat()
    with serve(chat) as served:
        with served.client(alice) as client:
            open_chat(client)
            read_text(client)
            client.send(text_frame(b"hello"))
            read_text(client)
        until(lambda: served.log.events("request"))
    (line,) = served.log.events("request")
    assert (line["method"], line["status"], line["path"]) == ("WEBSOCKET", 101, "/chat")
    assert (line["bytes_in"], line["bytes_out"]) == (5, len("client/alice") + 5)
    assert chat.ends == ["websocket.disconnect"]


def test_an_open_websocket_outlives_the_wait_for_requests(serve: Any, alice: Pair) -> None:
    with (
        serve(Chat(), limits=Limits(head_seconds=0.2)) as served,
        served.client(alice, timeout=0.6) as client,
    ):
        open_chat(client)
        read_text(client)
        with pytest.raises(TimeoutError):
            client.recv()
        client.send(text_frame(b"still"))
        assert read_text(client) == b"still"


def test_a_websocket_of_a_revoked_client_is_cut_within_a_second(
    serve: Any, folder: Any, dev: Environment, alice: Pair
) -> None:
    chat, carol = Chat(), dev.leaf("carol")
    with serve(chat) as served, served.client(carol) as bad, served.client(alice) as good:
        for client in (bad, good):
            open_chat(client)
            read_text(client)
        folder.write("crl.pem", dev.crl_pem(carol, number=2))
        with pytest.raises((ConnectionError, ssl.SSLError)):
            bad.recv()
        until(lambda: chat.ends == ["websocket.disconnect"])
        good.send(text_frame(b"unharmed"))
        assert read_text(good) == b"unharmed"


def test_a_stranger_gets_no_websocket(serve: Any, dev: Environment) -> None:
    chat = Chat()
    with serve(chat) as served, served.client(dev.leaf("x", uri="")) as client:
        client.send(UPGRADE)
        refused = read_answer(client)
    assert refused.status == 403
    assert refused.problem["type"] == "urn:keystead:problem:no-identity"


def test_open_websockets_are_ended_when_the_server_stops(serve: Any, alice: Pair) -> None:
    chat = Chat()
    with serve(chat, limits=Limits(stop_seconds=2)) as served:
        client = served.client(alice)
        open_chat(client)
        read_text(client)
    with client:
        assert client.recv_exactly(2)[0] == 0x88  # a close frame: going away
    assert chat.ends == ["websocket.disconnect"]


def test_an_upgrade_that_is_no_websocket_handshake_is_answered_and_ended(serve: Any, alice: Pair) -> None:
    many = b"".join(b"X-%d: y\r\n" % number for number in range(300))  # more than websockets reads
    with serve(Chat(), limits=Limits(head_seconds=1)) as served, served.client(alice) as client:
        client.send(UPGRADE.replace(b"\r\n\r\n", b"\r\n" + many + b"\r\n"))
        assert read_answer(client).status == 400
        assert client.recv_all() == b""


def test_a_put_that_asks_for_a_websocket_is_a_put(serve: Any, alice: Pair) -> None:
    uploads = Uploads()
    with serve(uploads) as served, served.client(alice) as client:
        client.send(
            b"PUT /files/x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Content-Length: 3\r\n\r\nabc"
        )
        assert read_answer(client).status == 201


def test_a_client_that_leaves_before_it_is_answered_is_no_failure_of_the_application(
    serve: Any, alice: Pair
) -> None:
    async def late(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            raise RuntimeError("only websockets here")
        await asyncio.sleep(0.2)
        await send({"type": "websocket.accept"})
        for _ in range(1000):
            await send({"type": "websocket.send", "text": "is anybody there?"})

    with serve(late) as served:
        with served.client(alice) as client:
            client.send(UPGRADE)
        until(lambda: served.log.events("request"))
        assert not served.log.events("failure")
