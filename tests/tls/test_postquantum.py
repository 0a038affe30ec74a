"""What is the post-quantum client's alone: its socket, which has to be like Python's, and mixed chains."""

from __future__ import annotations

import asyncio
import secrets
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from keystead.errors import BadInput, Unavailable
from keystead.pki.keys import KeyType
from keystead.pki.names import TrustDomain
from keystead.tls.client import client_context
from keystead.tls.contexts import InForce
from keystead.tls.postquantum import PostQuantumContext, PostQuantumSocket
from tests.tls.doors import Door, open_door, until
from tests.tls.folders import credentials
from tests.tls.throwaway import Environment, Pair, now, odd_list

Call = Callable[..., AbstractContextManager[PostQuantumSocket]]

PLAIN, QUANTUM = KeyType.P256, KeyType.ML_DSA_65


@pytest.fixture(scope="module")
def quantum() -> Environment:
    return Environment(TrustDomain("dev.example.internal"), QUANTUM)


@pytest.fixture(scope="module")
def revoked(quantum: Environment) -> Pair:
    return quantum.leaf("mallory")


@pytest.fixture
def door(quantum: Environment, revoked: Pair) -> Iterator[Door]:
    lists = quantum.crl_set(*quantum.crls(revoked))
    with open_door(
        InForce.of(quantum.credentials(quantum.leaf("web", "server")), lists), "pinned-uvloop"
    ) as it:
        yield it


@pytest.fixture
def call(quantum: Environment, door: Door, tmp_path: Path) -> Call:
    """A connection to the door, as alice or as somebody else."""

    @contextmanager
    def call(pair: Pair | None = None) -> Iterator[PostQuantumSocket]:
        own = credentials(tmp_path, quantum, pair or quantum.leaf("alice"), quantum.crls())
        plain = socket.create_connection(("127.0.0.1", door.port), 5)
        context = client_context(own, now)
        assert isinstance(context, PostQuantumContext)
        wrapped = context.wrap_socket(plain, server_hostname="localhost")
        with wrapped:
            yield wrapped

    return call


def test_more_than_a_record_goes_out_and_comes_back(call: Call) -> None:
    sent = bytes(range(256)) * 1000
    with call() as tls:
        tls.sendall(sent)
        got = bytearray()
        while len(got) < len(sent):
            got += tls.recv(100_000)
    assert got == sent


def test_a_buffer_is_filled_as_far_as_there_is_plaintext(call: Call) -> None:
    with call() as tls:
        assert tls.send(b"hello") == 5
        buffer = bytearray(10)
        assert tls.recv_into(memoryview(buffer)) == 5
        assert bytes(buffer) == b"hello" + bytes(5)


def test_what_is_pending_is_told_without_the_network(call: Call) -> None:
    with call() as tls:
        assert tls.pending() == 0
        tls.sendall(b"hello")
        assert tls.recv(1) == b"h"
        assert tls.pending() == 4


def fill(tls: PostQuantumSocket) -> bytes:
    """Send, without waiting, until the network takes no more: what TLS has taken."""
    taken = bytearray()
    tls.settimeout(0)
    with pytest.raises(BlockingIOError):
        while True:
            piece = secrets.token_bytes(50_000)
            taken += piece[: tls.send(piece)]
    tls.settimeout(5)
    return bytes(taken)


def test_what_a_full_network_does_not_take_goes_out_later(call: Call, door: Door) -> None:
    with call() as tls:
        until(lambda: door.protocols)
        echo = door.protocols[-1]
        door.call(echo.transport.pause_reading)
        taken = fill(tls)
        door.call(echo.transport.resume_reading)
        tls.sendall(b"the end")
        got = bytearray()
        while len(got) < len(taken) + len(b"the end"):
            got += tls.recv(100_000)
        assert got == taken + b"the end"


def test_who_reads_does_not_wait_for_a_server_that_reads_nothing_more(call: Call, door: Door) -> None:
    with call() as tls:
        until(lambda: door.protocols)
        echo = door.protocols[-1]
        door.call(echo.transport.pause_reading)
        fill(tls)
        door.call(lambda: echo.transport.write(b"enough"))
        assert tls.recv(10) == b"enough"
        assert tls.gettimeout() == 5


def test_where_nothing_comes_it_waits_as_long_as_it_is_told(call: Call) -> None:
    with call() as tls:
        tls.settimeout(0.05)
        with pytest.raises(TimeoutError):
            tls.recv(1)
        tls.settimeout(0)
        with pytest.raises(BlockingIOError):
            tls.recv(1)


def test_the_end_is_told_apart_from_a_connection_that_was_cut(call: Call, door: Door) -> None:
    with call() as tls:
        until(lambda: door.protocols)
        door.call(door.protocols[-1].transport.close)
        assert tls.recv(1) == b""
    with call() as tls:
        until(lambda: len(door.protocols) == 2)
        door.call(door.protocols[-1].transport.abort)
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
            tls.recv(1)


def test_the_other_side_is_told_of_the_end(call: Call, door: Door) -> None:
    with call() as tls:
        until(lambda: door.protocols)
        tls.unwrap()
        until(lambda: door.protocols[-1].lost or door.protocols[-1].eof)
    assert door.protocols[-1].lost in ([], [None])


def test_an_alert_that_was_only_looked_for_is_told_when_it_is_read(call: Call, revoked: Pair) -> None:
    with call(revoked) as tls:
        until(lambda: select.select([tls], [], [], 0)[0])
        tls.settimeout(5)
        with pytest.raises(ssl.SSLError) as caught:
            assert tls.pending() in (0, 1)
            tls.recv(1)
        assert "CERTIFICATE_REVOKED" in caught.value.reason
        assert tls.pending() == 1
        with pytest.raises(ssl.SSLError, match="certificate revoked"):
            tls.recv(1)


@pytest.mark.parametrize(
    ("ca", "server", "client"),
    [(PLAIN, PLAIN, QUANTUM), (PLAIN, QUANTUM, QUANTUM), (QUANTUM, PLAIN, PLAIN)],
)
def test_each_mixture_of_key_types_talks_where_the_client_has_seen_one(
    ca: KeyType, server: KeyType, client: KeyType, tmp_path: Path
) -> None:
    mixed = Environment(TrustDomain("dev.example.internal"), ca)
    web = mixed.leaf("web", "server", key_type=server)
    own = credentials(tmp_path, mixed, mixed.leaf("alice", key_type=client), mixed.crls())
    with open_door(InForce.of(mixed.credentials(web), mixed.crl_set()), "pinned-uvloop") as door:
        plain = socket.create_connection(("127.0.0.1", door.port), 5)
        with client_context(own, now).wrap_socket(plain, server_hostname="localhost") as tls:
            tls.sendall(b"hello")
            assert tls.recv(5) == b"hello"


@pytest.mark.parametrize("host", ["", ".localhost", "localhost\0.example", "elsewhere.example", "127.0.0.2"])
def test_a_host_that_the_certificate_does_not_name_is_not_connected_to(
    quantum: Environment, door: Door, tmp_path: Path, host: str
) -> None:
    own = credentials(tmp_path, quantum, quantum.leaf("alice"), quantum.crls())
    with (
        socket.create_connection(("127.0.0.1", door.port), 5) as plain,
        pytest.raises(ssl.SSLError, match=r"cannot be compared|certificate verify failed"),
    ):
        client_context(own, now).wrap_socket(plain, server_hostname=host)


def test_nothing_goes_out_in_plaintext_by_another_of_a_sockets_methods(call: Call) -> None:
    with call() as tls:
        for name in (
            "sendfile",
            "sendto",
            "sendmsg",
            "recvfrom",
            "recvfrom_into",
            "recvmsg",
            "recvmsg_into",
            "dup",
        ):
            with pytest.raises(NotImplementedError):
                getattr(tls, name)(b"secret")


def test_a_list_that_openssl_cannot_read_is_told_of(quantum: Environment, tmp_path: Path) -> None:
    lists = (*quantum.crls(), odd_list(quantum))
    with pytest.raises(BadInput, match=r"crl\.pem holds a revocation list that OpenSSL cannot read"):
        client_context(credentials(tmp_path, quantum, quantum.leaf("alice"), lists), now)


def test_without_the_private_names_nothing_is_connected(
    call: Call, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keystead.tls.hostname._lib", object())
    with pytest.raises(ssl.SSLError, match="cannot be compared"), call():
        pass
    assert not door.protocols


def test_asyncio_is_told_that_it_cannot_be_had(quantum: Environment, tmp_path: Path, door: Door) -> None:
    own = credentials(tmp_path, quantum, quantum.leaf("alice"), quantum.crls())

    async def connect(plain: socket.socket) -> None:
        context = client_context(own, now)
        await asyncio.open_connection(sock=plain, ssl=context, server_hostname="localhost")

    with (
        socket.create_connection(("127.0.0.1", door.port), 5) as plain,
        pytest.raises(Unavailable, match="asyncio"),
    ):
        asyncio.run(connect(plain))
