"""Each limit, and what a client past it is told."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable
from typing import Any

import pytest

from keystead.web.limits import Limits
from tests.tls.doors import until
from tests.tls.rawclient import alert_of
from tests.tls.throwaway import Pair
from tests.web.apps import Slow, Uploads, answer, begin_upload, count, get, read_answer, whoami

pytestmark = pytest.mark.slow

HEAD_BOMBS: dict[str, Callable[[], bytes]] = {
    "one long header": lambda: b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000,
    "an endless header": lambda: b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 400_000,
    "an endless header's name": lambda: b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a" * 400_000,
    "many headers": lambda: (
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(20_000))
    ),
    "a long target": lambda: b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "just too large": lambda: b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 32_768 + b"\r\n\r\n",
}


@pytest.mark.parametrize("kind", HEAD_BOMBS)
@pytest.mark.parametrize("piece", [1_000_000, 1_000])
def test_a_head_that_is_too_large_is_answered_431(serve: Any, alice: Pair, kind: str, piece: int) -> None:
    bomb = HEAD_BOMBS[kind]()
    with serve(whoami) as served, served.client(alice) as client:
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(bomb), piece):
                client.send(bomb[start : start + piece])
        refused = read_answer(client)
    assert refused.status == 431
    assert refused.problem["type"] == "urn:keystead:problem:head-too-large"
    assert served.log.events("request")[0]["status"] == 431


def test_a_head_just_within_the_limit_is_served(serve: Any, alice: Pair) -> None:
    with serve(whoami) as served, served.client(alice) as client:
        assert get(client, "/", "X: " + "a" * 32_000).status == 200
        assert get(client, "/", "X: " + "a" * 32_000).status == 200


def test_a_large_body_before_the_next_head_is_not_counted_as_head(serve: Any, alice: Pair) -> None:
    one = b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + bytes(200_000)
    with serve(count) as served, served.client(alice) as client:
        client.send(one + one[:30])
        assert read_answer(client).body == b"200000"
        client.send(one[30:])
        assert read_answer(client).body == b"200000"


def test_endless_trailers_are_refused(serve: Any, alice: Pair) -> None:
    uploads = Uploads()
    with serve(uploads) as served, served.client(alice) as client:
        client.send(b"PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n")
        with contextlib.suppress(ConnectionError):
            client.send(b"X: y\r\n" * 20_000)
        assert read_answer(client).status == 431
        until(lambda: uploads.ends)
    assert uploads.ends == ["disconnected"]


def test_trailers_are_not_headers(serve: Any, alice: Pair) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            while (await receive())["more_body"]:
                pass
            seen.extend(scope["headers"])
            await answer(send, b"ok")

    with serve(app) as served, served.client(alice) as client:
        client.send(
            b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: evil\r\n\r\n"
        )
        assert read_answer(client).body == b"ok"
    assert b"authorization" not in dict(seen)


def test_a_head_that_does_not_end_is_answered_408(serve: Any, alice: Pair) -> None:
    with serve(whoami, limits=Limits(head_seconds=0.3)) as served, served.client(alice) as client:
        client.send(b"GET / HTTP/1.1\r\nHost")
        assert read_answer(client).problem["type"] == "urn:keystead:problem:too-slow"


def test_a_head_octet_by_octet_is_cut_off_in_time(serve: Any, alice: Pair) -> None:
    with serve(whoami, limits=Limits(head_seconds=0.5)) as served, served.client(alice) as client:
        client.socket.settimeout(0.05)
        with contextlib.suppress(ConnectionError):
            for octet in b"GET / HTTP/1.1\r\nHost: " + b"x" * 10_000:
                client.send(bytes([octet]))
                with contextlib.suppress(TimeoutError):
                    if client.recv().startswith(b"HTTP/1.1 408"):
                        return
    raise AssertionError("it was never cut off")


def test_a_client_that_asks_for_nothing_is_closed_quietly(serve: Any, alice: Pair) -> None:
    with serve(whoami, limits=Limits(head_seconds=0.3)) as served, served.client(alice) as client:
        assert client.recv() == b""
        assert not served.log.events("request")


def test_a_kept_alive_connection_is_closed_after_its_wait(serve: Any, alice: Pair) -> None:
    with serve(whoami, limits=Limits(head_seconds=0.3)) as served, served.client(alice) as client:
        assert get(client).status == 200
        assert get(client).status == 200
        assert client.recv() == b""


def test_empty_lines_instead_of_a_request_do_not_prolong_the_wait(serve: Any, alice: Pair) -> None:
    with serve(whoami, limits=Limits(head_seconds=0.4)) as served, served.client(alice) as client:
        client.socket.settimeout(0.05)
        for _ in range(100):
            with contextlib.suppress(TimeoutError):
                client.send(b"\r\n")
                assert client.recv() == b""
                return
    raise AssertionError("it was never closed")


def test_a_body_that_stops_is_answered_408_and_the_app_is_told(serve: Any, alice: Pair) -> None:
    uploads = Uploads()
    with serve(uploads, limits=Limits(stall_seconds=0.3)) as served, served.client(alice) as client:
        begin_upload(client, 1_000_000)
        client.send(bytes(1000))
        assert read_answer(client).status == 408
        until(lambda: uploads.ends)
        until(lambda: served.log.events("request"))
    assert uploads.ends == ["disconnected"]
    assert served.log.events("request")[0]["code"] == "too-slow"


def test_a_slow_body_that_goes_on_is_not_cut_off(serve: Any, alice: Pair) -> None:
    with serve(count, limits=Limits(stall_seconds=0.3)) as served, served.client(alice) as client:
        begin_upload(client, 10)
        for _ in range(10):
            time.sleep(0.1)  # the pace is the test
            client.send(b"x")
        assert read_answer(client).body == b"10"


def test_a_slow_app_is_waited_for(serve: Any, alice: Pair) -> None:
    slow = Slow()
    limits = Limits(head_seconds=0.2, stall_seconds=0.2)
    with serve(slow, limits=limits) as served, served.client(alice) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.socket.settimeout(0.7)
        with pytest.raises(TimeoutError):
            client.recv()
        slow.go()
        assert read_answer(client).body == b"at last"


def test_an_app_that_is_slow_to_read_does_not_cost_the_client_its_upload(serve: Any, alice: Pair) -> None:
    slow = Slow()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await slow(scope, receive, _nowhere)
        await count(scope, receive, send)

    async def _nowhere(message: Any) -> None:
        pass

    with serve(app, limits=Limits(stall_seconds=0.2)) as served, served.client(alice) as client:
        begin_upload(client, 300_000, "/slow")
        client.send(bytes(300_000))
        client.socket.settimeout(0.8)
        with pytest.raises(TimeoutError):
            client.recv()
        slow.go()
        assert read_answer(client).body == b"300000"


def test_a_reader_that_stops_is_cut_off(serve: Any, alice: Pair) -> None:
    ended: list[str] = []

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            try:
                for _ in range(1000):
                    await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
                    if (await receive_now(receive)) == "http.disconnect":
                        return
            finally:
                ended.append("ended")

    async def receive_now(receive: Any) -> str:
        import asyncio

        try:
            return str((await asyncio.wait_for(receive(), 0.001))["type"])
        except TimeoutError:
            return ""

    with serve(endless, limits=Limits(stall_seconds=0.4)) as served, served.client(alice) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: served.log.events("request"))
        with pytest.raises((ConnectionError, ssl.SSLError)):
            client.recv_all()


def test_connections_of_one_address_are_limited(serve: Any, alice: Pair) -> None:
    limits = Limits(connections_per_address=2)
    with serve(whoami, limits=limits) as served, contextlib.ExitStack() as stack:
        for _ in range(2):
            get(stack.enter_context(served.client(alice)))
        assert alert_of(served.port, alice.context) in ("reset", "eof")
        with served.client(alice, source="127.0.0.7") as elsewhere:
            assert get(elsewhere).status == 200


def test_a_place_is_free_again_after_its_connection(serve: Any, alice: Pair) -> None:
    with serve(whoami, limits=Limits(connections=1, connections_per_address=1)) as served:
        for _ in range(5):
            with served.client(alice) as client:
                assert get(client, "/", "Connection: close").status == 200
                assert client.recv() == b""
            until(lambda: _is_free(served, alice))


def _is_free(served: Any, pair: Pair) -> bool:
    with contextlib.suppress(OSError, ssl.SSLError, EOFError), served.client(pair) as client:
        return get(client, "/", "Connection: close").status == 200
    return False


def test_an_early_answer_reaches_a_client_in_mid_upload(serve: Any, alice: Pair) -> None:
    async def too_large(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await answer(send, b"too large", 413)

    with serve(too_large) as served:
        for _ in range(30):
            with served.client(alice) as client:
                begin_upload(client, 100_000_000)
                with contextlib.suppress(ConnectionError):
                    for _ in range(30):
                        client.send(bytes(100_000))
                told = read_answer(client)
                assert (told.status, told.headers["connection"]) == (413, "close")
                assert client.recv() == b""


def test_a_client_that_waits_for_100_continue_is_answered_without_it(serve: Any, alice: Pair) -> None:
    async def too_large(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await answer(send, b"too large", 413)

    with serve(too_large) as served, served.client(alice) as client:
        client.send(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        assert read_answer(client).status == 413
        assert client.recv() == b""


def test_two_requests_at_once_are_answered_in_turn(serve: Any, alice: Pair) -> None:
    with serve(count) as served, served.client(alice) as client:
        client.send(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        assert client.recv_exactly(1)
        until(lambda: len(served.log.events("request")) == 2)


def test_http_1_0_is_answered_and_closed(serve: Any, alice: Pair) -> None:
    with serve(whoami) as served, served.client(alice) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert read_answer(client).status == 200
        assert client.recv() == b""


def test_a_request_and_close_notify_is_still_answered(serve: Any, alice: Pair) -> None:
    slow = Slow()
    with serve(slow) as served, served.client(alice) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: slow.begun)
        client.close_notify()
        slow.go()
        assert read_answer(client).body == b"at last"


SMUGGLED = {
    "length and chunked": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "two equal lengths": b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": b"Content-Length: 5, 5\r\n\r\nhello",
    "a signed length": b"Content-Length: +5\r\n\r\nhello",
    "a length in hex": b"Content-Length: 0x5\r\n\r\nhello",
    "a huge length": b"Content-Length: 99999999999999999999999\r\n\r\n",
    "an unknown encoding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked not last": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"Content-Length : 5\r\n\r\nhello",
    "a folded header": b"X: a\r\n b\r\n\r\n",
    "a bare line feed": b"X: a\nContent-Length: 5\r\n\r\nhello",
    "a bare carriage return": b"X: a\rContent-Length: 5\r\n\r\nhello",
    "a nul": b"X: a\x00b\r\n\r\n",
    "a negative chunk": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a chunk without its end": b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "a huge chunk": b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "two hosts": b"Host: y\r\n\r\n",
}


@pytest.mark.parametrize("kind", SMUGGLED)
def test_an_ambiguous_request_is_refused_and_the_connection_closed(
    serve: Any, alice: Pair, kind: str
) -> None:
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    with serve(count) as served, served.client(alice) as client:
        client.send(b"POST /x HTTP/1.1\r\nHost: x\r\n" + SMUGGLED[kind] + smuggled)
        refused = read_answer(client)
        assert refused.status == 400
        assert refused.problem["type"] == "urn:keystead:problem:bad-request"
        assert client.recv() == b""
    assert "/smuggled" not in {line["path"] for line in served.log.events("request")}


NO_REQUEST = {
    "garbage": b"\x16\x03\x01 garbage\r\n\r\n",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a connect": b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n",
    "a target beyond ascii": "GET /ä HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
}


@pytest.mark.parametrize("kind", NO_REQUEST)
def test_what_is_no_request_is_refused(serve: Any, alice: Pair, kind: str) -> None:
    with serve(whoami) as served, served.client(alice) as client:
        client.send(NO_REQUEST[kind])
        assert read_answer(client).status == 400
        assert client.recv() == b""


def test_an_unknown_upgrade_is_answered_and_nothing_after_it_is_read(serve: Any, alice: Pair) -> None:
    with serve(whoami) as served, served.client(alice) as client:
        client.send(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
            b"GET /after HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        assert read_answer(client).status == 200
        assert client.recv() == b""
        assert len(served.log.events("request")) == 1


def test_rubbish_after_a_request_waits_for_the_answer(serve: Any, alice: Pair) -> None:
    slow = Slow()
    with serve(slow) as served, served.client(alice) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: slow.begun)
        client.send(b"\x00\x01 rubbish\r\n\r\n")
        slow.go()
        assert read_answer(client).body == b"at last"
        assert client.recv() == b""


def test_forwarding_headers_of_a_client_are_not_believed(serve: Any, alice: Pair) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            seen.append((scope["client"][0], scope["scheme"]))
            await answer(send, b"ok")

    with serve(app) as served, served.client(alice) as client:
        get(client, "/", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: http")
    assert seen == [("127.0.0.1", "https")]
