"""Requests that are sent before the answers have come: served in turn, and only so many are taken in."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from keystead.web.http import HttpProtocol
from keystead.web.limits import Limits
from tests.tls.doors import until
from tests.tls.throwaway import Pair
from tests.web.apps import Slow, count, get, read_answer

pytestmark = pytest.mark.slow

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
PUT = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n" + bytes(5000)
CHUNKED = (
    b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 90 + b"0\r\n\r\n"
)
KINDS = [(GET, b"0"), (PUT, b"5000"), (CHUNKED, b"90")]


@pytest.mark.parametrize("piece", [1_000_000, 5_001, 700])
def test_a_pipeline_of_all_kinds_is_answered_in_order(serve: Any, alice: Pair, piece: int) -> None:
    kinds = KINDS * 20
    wire = b"".join(request for request, _ in kinds)
    with serve(count) as served, served.client(alice) as client:
        for start in range(0, len(wire), piece):
            client.send(wire[start : start + piece])
        assert [read_answer(client).body for _ in kinds] == [answer for _, answer in kinds]


def protocols() -> list[HttpProtocol]:
    return [
        found for found in gc.get_objects() if isinstance(found, HttpProtocol) and found.parser is not None
    ]


def test_what_stands_behind_an_unanswered_request_is_not_parsed(serve: Any, alice: Pair) -> None:
    slow = Slow()
    with serve(slow, limits=Limits(stop_seconds=0.1)) as served, served.client(alice) as client:
        client.send(GET)
        until(lambda: slow.begun)
        client.send(GET * 10_000)
        (protocol,) = protocols()
        until(lambda: protocol.pipeline)
        assert len(protocol.pipeline) < 300
        assert not protocol.transport.is_reading()
        slow.go()
        assert read_answer(client).status == 200


def test_a_pipeline_behind_a_slow_answer_is_not_held_to_be_slow(serve: Any, alice: Pair) -> None:
    slow = Slow()
    with (
        serve(slow, limits=Limits(head_seconds=0.2, stop_seconds=0.1)) as served,
        served.client(alice) as client,
    ):
        client.send(GET)
        until(lambda: slow.begun)
        client.send(GET * 200 + GET[:20])
        client.socket.settimeout(0.6)
        with pytest.raises(TimeoutError):
            client.recv()
        client.socket.settimeout(10)
        slow.go()
        assert read_answer(client).body == b"at last"


def test_a_client_goes_on_after_its_pipeline(serve: Any, alice: Pair) -> None:
    with serve(count) as served, served.client(alice) as client:
        client.send(GET * 500)
        for _ in range(500):
            assert read_answer(client).status == 200
        assert get(client).status == 200
