"""What happens on a connection once it stands: floods, ends, pauses, swaps."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from keystead.tls.acceptor import TransportLimits
from keystead.tls.contexts import InForce
from tests.tls.doors import Door, Echo, until
from tests.tls.rawclient import RawClient, alert_of
from tests.tls.throwaway import Environment, Pair


def reset(client: RawClient) -> None:
    """Close with a reset, as a crashed peer does."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


def test_much_data_comes_back_whole(door: Door, alice: Pair) -> None:
    data = bytes(range(256)) * 4096 * 3
    with RawClient(door.port, alice.context) as client:
        client.handshake()
        answer = bytearray()
        for start in range(0, len(data), 100_000):
            client.send(data[start : start + 100_000])
            answer += client.recv_exactly(len(data[start : start + 100_000]))
        assert answer == data


def test_a_write_of_fifty_megabytes_arrives_and_is_encrypted_as_it_is_read(
    make_door: Any, alice: Pair
) -> None:
    size = 50_000_000
    peak = 0

    class Big(Echo):
        def data_received(self, data: bytes) -> None:
            nonlocal peak
            self.transport.write(bytes(size))
            peak = self.transport._protocol._raw.get_write_buffer_size()
            self.transport.close()

    with make_door(protocol=Big) as door, RawClient(door.port, alice.context) as client:
        client.handshake().send(b"go")
        assert len(client.recv_all()) == size
    assert peak < 1_000_000


def test_a_fin_without_close_notify_is_truncation(door: Door, alice: Pair) -> None:
    with RawClient(door.port, alice.context) as client:
        client.handshake().send(b"PUT half of")
        client.recv_exactly(11)
        client.socket.shutdown(socket.SHUT_WR)
        until(lambda: door.protocols[0].lost)
    assert isinstance(door.protocols[0].lost[0], ConnectionAbortedError)
    assert not door.protocols[0].eof


def test_a_close_notify_ends_the_connection_properly(door: Door, alice: Pair) -> None:
    with RawClient(door.port, alice.context) as client:
        client.handshake().send(b"bye")
        client.recv_exactly(3)
        client.close_notify()
        assert client.recv() == b""
        until(lambda: door.protocols[0].lost)
    assert door.protocols[0].eof
    assert door.protocols[0].lost == [None]


@pytest.mark.parametrize("fin", [False, True])
def test_an_answer_pending_at_close_notify_still_arrives(make_door: Any, alice: Pair, fin: bool) -> None:
    class Late(Echo):
        def data_received(self, data: bytes) -> None:
            asyncio.get_running_loop().call_later(0.1, self.answer)

        def answer(self) -> None:
            self.transport.write(b"at last")
            self.transport.close()

        def eof_received(self) -> bool:
            return True

    with make_door(protocol=Late) as door, RawClient(door.port, alice.context) as client:
        client.handshake().send(b"?")
        client.close_notify()
        if fin:
            client.socket.shutdown(socket.SHUT_WR)
        assert client.recv_all() == b"at last"


def test_an_alert_in_mid_body_ends_the_connection(door: Door, alice: Pair) -> None:
    with RawClient(door.port, alice.context) as client:
        client.handshake().send(b"begun")
        client.recv_exactly(5)
        client.socket.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))  # a record that does not decrypt
        until(lambda: door.protocols[0].lost)
    assert isinstance(door.protocols[0].lost[0], SSL.Error)


def test_a_reset_reaches_the_protocol(door: Door, alice: Pair) -> None:
    with RawClient(door.port, alice.context) as client:
        client.handshake().send(b"begun")
        client.recv_exactly(5)
        reset(client)
        until(lambda: door.protocols[0].lost)


def test_pause_and_resume_within_data_received_loses_nothing_and_does_not_re_enter(
    make_door: Any, alice: Pair
) -> None:
    inside = 0
    deepest = 0

    class Pausing(Echo):
        def data_received(self, data: bytes) -> None:
            nonlocal inside, deepest
            inside += 1
            deepest = max(deepest, inside)
            self.transport.pause_reading()
            self.transport.resume_reading()
            super().data_received(data)
            inside -= 1

    data = bytes(range(256)) * 2000
    with make_door(protocol=Pausing) as door, RawClient(door.port, alice.context) as client:
        client.handshake().send(data)
        assert client.recv_exactly(len(data)) == data
    assert deepest == 1


def test_a_paused_protocol_is_given_nothing(make_door: Any, alice: Pair) -> None:
    class Paused(Echo):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.pause_reading()

    with make_door(protocol=Paused) as door, RawClient(door.port, alice.context) as client:
        client.handshake().send(b"too early")
        until(lambda: door.protocols)
        with pytest.raises(TimeoutError):
            client.socket.settimeout(0.2)
            client.recv()
        assert door.protocols[0].received == 0
        door.call(door.protocols[0].transport.resume_reading)
        client.socket.settimeout(5)
        assert client.recv_exactly(9) == b"too early"


def test_a_swap_in_mid_handshake_concerns_the_next_connection_only(
    make_door: Any, dev: Environment, server_pair: Pair, alice: Pair
) -> None:
    with make_door() as door, RawClient(door.port, alice.context) as early:
        with contextlib.suppress(ssl.SSLWantReadError):
            early.tls.do_handshake()
        early.flush()
        early.pull()  # the server's flight: it has the old context now
        fresh = dev.leaf("web", "server")
        door.holder.current = InForce.of(dev.credentials(fresh), dev.crl_set(*dev.crls(alice, number=2)))
        early.handshake().send(b"old")
        assert early.recv_exactly(3) == b"old"
        shown = early.tls.getpeercert(binary_form=True)
        assert shown == server_pair.certificate.public_bytes(Encoding.DER)
        assert alert_of(door.port, alice.context) == "SSLV3_ALERT_CERTIFICATE_REVOKED"


def test_a_client_that_does_not_read_is_cut_off(make_door: Any, alice: Pair) -> None:
    class Big(Echo):
        def data_received(self, data: bytes) -> None:
            self.transport.write(bytes(50_000_000))

    limits = TransportLimits(stall_seconds=0.4)
    with make_door(protocol=Big, limits=limits) as door, RawClient(door.port, alice.context) as client:
        client.handshake().send(b"go")
        until(lambda: door.protocols and door.protocols[0].lost)
        assert isinstance(door.protocols[0].lost[0], TimeoutError)


def test_close_towards_a_client_that_does_not_read_ends_too(make_door: Any, alice: Pair) -> None:
    class Big(Echo):
        def data_received(self, data: bytes) -> None:
            self.transport.write(bytes(50_000_000))
            self.transport.close()

    limits = TransportLimits(stall_seconds=0.4)
    with make_door(protocol=Big, limits=limits) as door, RawClient(door.port, alice.context) as client:
        client.handshake().send(b"go")
        until(lambda: door.protocols and door.protocols[0].lost)
        until(lambda: not door.acceptor.connections)


def test_a_refused_client_that_stays_is_closed_after_a_moment(make_door: Any, mallory: Pair) -> None:
    with (
        make_door(limits=TransportLimits(linger_seconds=0.3)) as door,
        RawClient(door.port, mallory.context) as client,
    ):
        with pytest.raises(ssl.SSLError, match="REVOKED"):
            client.handshake().recv()
        until(lambda: door.refusals)
        until(lambda: not door.acceptor.connections)


def test_an_early_answer_reaches_a_client_in_mid_upload(make_door: Any, alice: Pair) -> None:
    class TooLarge(Echo):
        def data_received(self, data: bytes) -> None:
            self.transport.write(b"413")
            self.transport.close()

    with make_door(protocol=TooLarge) as door:
        for _ in range(50):
            with RawClient(door.port, alice.context) as client:
                client.handshake()
                with contextlib.suppress(ConnectionError):
                    for _ in range(20):
                        client.send(bytes(100_000))
                assert client.recv_all() == b"413"
