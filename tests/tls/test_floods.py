"""One peer's flood is not everybody's wait."""

from __future__ import annotations

import contextlib
import gc
import socket
import ssl
import struct
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from keystead.tls.acceptor import TransportLimits
from keystead.tls.capacity import Caps
from tests.tls.doors import Door, until
from tests.tls.rawclient import RawClient, alert_of
from tests.tls.records import APPLICATION_DATA, KEY_UPDATE_REQUESTED, RecordClient
from tests.tls.throwaway import Environment, Pair


def round_trip(client: RawClient) -> float:
    begun = time.monotonic()
    client.send(b"ping")
    assert client.recv_exactly(4) == b"ping"
    return time.monotonic() - begun


@pytest.mark.tls_1_3
def test_a_hand_made_key_update_is_understood(door: Door, alice: Pair, tmp_path: Path) -> None:
    with RecordClient(door.port, alice, tmp_path) as client:
        client.socket.sendall(client.key_update() + client.record(APPLICATION_DATA, b"after"))
        assert client.recv_exactly(5) == b"after"


@pytest.mark.tls_1_3
@pytest.mark.parametrize("kind", ["key updates", "empty records"])
def test_a_flood_that_carries_nothing_is_cut_off(door: Door, alice: Pair, tmp_path: Path, kind: str) -> None:
    with RecordClient(door.port, alice, tmp_path) as client:
        flood = b"".join(
            client.key_update() if kind == "key updates" else client.record(APPLICATION_DATA, b"")
            for _ in range(4000)
        )
        with contextlib.suppress(ConnectionError):
            client.socket.sendall(flood)
        until(lambda: door.protocols and door.protocols[0].lost)
    assert door.protocols[0].lost[0] is not None


@pytest.mark.slow
@pytest.mark.tls_1_3
def test_a_flood_of_key_updates_between_single_octets_starves_nobody(
    door: Door, alice: Pair, tmp_path: Path
) -> None:
    with RecordClient(door.port, alice, tmp_path) as flooder, RawClient(door.port, alice.context) as other:
        parts = []
        for _ in range(1000):
            parts += [flooder.key_update() for _ in range(20)] + [flooder.record(APPLICATION_DATA, b"x")]
        flood = b"".join(parts)

        def send() -> None:
            with contextlib.suppress(ConnectionError):
                flooder.socket.sendall(flood)

        sender = threading.Thread(target=send)
        other.handshake()
        sender.start()
        waits = [round_trip(other) for _ in range(20)]
        sender.join()
    assert max(waits) < 0.5


@pytest.mark.tls_1_3
def test_requested_key_updates_of_a_peer_that_does_not_read_pile_up_nothing(
    make_door: Any, alice: Pair, tmp_path: Path
) -> None:
    with (
        make_door(limits=TransportLimits(stall_seconds=0.4)) as door,
        RecordClient(door.port, alice, tmp_path) as client,
    ):
        flood = []
        for _ in range(20_000):
            flood += [client.key_update(KEY_UPDATE_REQUESTED), client.record(APPLICATION_DATA, b"x" * 100)]
        client.socket.settimeout(2)
        with contextlib.suppress(OSError):
            client.socket.sendall(b"".join(flood))
        (protocol,) = door.protocols
        assert protocol.lost or protocol.transport.get_write_buffer_size() < 1_000_000


def test_a_client_hello_of_128_kib_is_refused(door: Door, alice: Pair) -> None:
    with RawClient(door.port, alice.context) as client:
        with contextlib.suppress(ssl.SSLWantReadError):
            client.tls.do_handshake()
        hello = client.outgoing.read()
        body = hello[5:]
        grown = body[:1] + (128 * 1024).to_bytes(3) + body[4:] + bytes(128 * 1024 - len(body) + 4)
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(grown), 16_384):
                piece = grown[start : start + 16_384]
                client.socket.sendall(b"\x16\x03\x01" + len(piece).to_bytes(2) + piece)
        until(lambda: door.refusals)


def test_a_certificate_of_a_hundred_kilobytes_is_refused(door: Door, dev: Environment) -> None:
    fat = dev.leaf("fat", padding=100_000)
    assert alert_of(door.port, fat.context) != "none"
    until(lambda: door.refusals)
    assert door.refusals[0].code == "too-large"


def test_a_silent_client_is_dropped_after_the_handshake_timeout(make_door: Any) -> None:
    with make_door(limits=TransportLimits(handshake_seconds=0.2)) as door:
        with (
            socket.create_connection(("127.0.0.1", door.port), timeout=5) as silent,
            contextlib.suppress(ConnectionError),
        ):
            assert silent.recv(1) == b""
        until(lambda: door.refusals)
        assert door.refusals[0].code == "handshake-timeout"


def engines() -> int:
    """The SSL objects that there are."""
    gc.collect()
    return sum(type(found) is SSL.Connection for found in gc.get_objects())


def test_who_says_nothing_costs_no_ssl_object(make_door: Any) -> None:
    with make_door() as door, contextlib.ExitStack() as stack:
        before = engines()
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", door.port), 5)) for _ in range(20)
        ]
        until(lambda: len(door.acceptor.connections) == 20)
        assert engines() == before
        silent[0].send(b"\x16")
        until(lambda: engines() == before + 1)


def test_a_thousand_half_open_connections_lock_nobody_out(make_door: Any, alice: Pair) -> None:
    with make_door(caps=Caps(handshakes=200)) as door, contextlib.ExitStack() as stack:
        for number in range(1000):
            source = (f"127.0.1.{number % 50 + 1}", 0)
            half_open = socket.create_connection(("127.0.0.1", door.port), 5, source_address=source)
            stack.enter_context(half_open)
        with RawClient(door.port, alice.context) as client:
            client.handshake().send(b"still here")
            assert client.recv_exactly(10) == b"still here"
        assert len(door.acceptor.connections) <= 201


def test_one_address_may_hold_only_its_share(make_door: Any, alice: Pair) -> None:
    with make_door(caps=Caps(per_address=3)) as door, contextlib.ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(RawClient(door.port, alice.context))
            client.handshake().send(b"x")
            client.recv_exactly(1)
        assert alert_of(door.port, alice.context) in ("reset", "eof")
        assert door.refusals[-1].code == "too-many"
        with RawClient(door.port, alice.context, source="127.0.0.9") as elsewhere:
            elsewhere.handshake().send(b"y")
            assert elsewhere.recv_exactly(1) == b"y"
    assert not door.acceptor.capacity.total


def test_who_has_gone_before_the_door_is_opened_is_not_let_in_and_not_reported(
    door: Door, alice: Pair, engine: str
) -> None:
    """A flood of such fills the log, and costs a handshake's key each, unless they are told from others."""
    if "asyncio" in engine:
        pytest.skip("asyncio does not say that they have gone; keystead serves with uvloop")
    door.loop.call_soon_threadsafe(time.sleep, 0.3)  # meanwhile nobody is accepted
    for _ in range(50):
        gone = socket.create_connection(("127.0.0.1", door.port), timeout=5)
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.sendall(b"\x16\x03\x01")
        gone.close()
    with RawClient(door.port, alice.context) as client:
        client.handshake().send(b"still here")
        assert client.recv_exactly(10) == b"still here"
    until(lambda: not door.acceptor.connections)
    assert door.refusals == []
    assert not door.acceptor.capacity.total
