"""Descriptors and memory of a server stay flat, however many came and went."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import resource
import ssl
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from keystead.pki.names import TrustDomain
from keystead.tls.contexts import InForce
from tests.tls.doors import Door, Echo, open_door, until
from tests.tls.rawclient import RawClient
from tests.tls.throwaway import Environment, anonymous_context, client_context


class Forgotten(Echo):
    """Echo that nobody keeps hold of."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.door.protocols.remove(self)


def held() -> tuple[int, int]:
    """Open descriptors and resident KiB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(list(Path("/proc/self/fd").iterdir())), pages * resource.getpagesize() // 1024


def serve(engine: str, pipe: Connection) -> None:
    """A process of its own, so that the clients' memory is not counted."""
    dev = Environment(TrustDomain("dev.example.internal"))
    alice, mallory = dev.leaf("alice"), dev.leaf("mallory")
    crls = dev.crl_set(*dev.crls(mallory))
    with open_door(
        InForce.of(dev.credentials(dev.leaf("web", "server")), crls), engine, protocol=Forgotten
    ) as door:
        pipe.send((door.port, [(pair.chain_pem, pair.key_pem) for pair in (alice, mallory)]))
        while pipe.recv():
            settle(door)
            pipe.send(held())


def settle(door: Door) -> None:
    until(lambda: not door.acceptor.connections)
    door.refusals.clear()


def visit(port: int, context: ssl.SSLContext) -> None:
    with RawClient(port, context) as client, contextlib.suppress(ssl.SSLError, ConnectionError):
        client.handshake().send(b"x" * 1000)
        client.recv_exactly(1000)
        client.close_notify()


def growth(engine: str, count: int, *, warm_up: int) -> tuple[int, int]:
    """By how much descriptors and KiB grow over ``count`` connections, two of five of them refused.

    Before they are counted ``warm_up`` more come and go: the allocator finds its size only after thousands.
    """
    spawn = multiprocessing.get_context("spawn")
    pipe, theirs = spawn.Pipe()
    process = spawn.Process(target=serve, args=(engine, theirs))
    process.start()
    try:
        assert pipe.poll(30)
        port, pairs = pipe.recv()
        alice, mallory = (client_context(*pair) for pair in pairs)
        visitors = [alice, alice, alice, mallory, anonymous_context()]
        with ThreadPoolExecutor(8) as pool:

            def held_after(visits: int) -> tuple[int, int]:
                list(pool.map(lambda n: visit(port, visitors[n % 5]), range(visits)))
                pipe.send(True)
                assert pipe.poll(30)
                descriptors, memory = pipe.recv()
                return descriptors, memory

            # In portions: between two the list of the refused, which is the test's own, is emptied.
            held = [held_after(1000) for _ in range((warm_up + count) // 1000)]
        pipe.send(False)
    finally:
        process.join(10)
        process.kill()
        process.close()
    before, after = held[warm_up // 1000 - 1], held[-1]
    return after[0] - before[0], after[1] - before[1]


@pytest.mark.slow
def test_descriptors_and_memory_stay_flat_over_two_thousand_connections(engine: str) -> None:
    descriptors, memory = growth(engine, 2_000, warm_up=1_000)
    assert descriptors <= 1
    assert memory < 6_000  # a connection that stayed would be 20 KiB


@pytest.mark.soak
def test_descriptors_and_memory_stay_flat_over_twenty_thousand_connections(engine: str) -> None:
    descriptors, memory = growth(engine, 20_000, warm_up=10_000)
    assert descriptors <= 1
    assert memory < 6_000
