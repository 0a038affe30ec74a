"""The end: what runs is finished within a bound, then cut."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from keystead.web.limits import Limits
from tests.tls.doors import until
from tests.tls.rawclient import RawClient
from tests.tls.throwaway import Pair
from tests.web.apps import Slow, get, read_answer, whoami


def test_what_runs_is_finished(serve: Any, alice: Pair) -> None:
    slow = Slow()
    got: list[bytes] = []

    with serve(slow) as served:
        client = served.client(alice)
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: slow.begun)

        def finish() -> None:
            with client:
                slow.go()
                got.append(read_answer(client).body)
                client.recv()

        reader = threading.Timer(0.3, finish)
        reader.start()
    reader.join()
    assert got == [b"at last"]
    assert served.log.events("stopped")[0]["cut"] == 0


def test_what_does_not_end_is_cut(serve: Any, alice: Pair) -> None:
    slow = Slow()
    with serve(slow, limits=Limits(stop_seconds=0.3)) as served:
        client = served.client(alice)
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: slow.begun)
    with client, pytest.raises((ConnectionError, ssl.SSLError)):
        client.recv_all()
    assert served.log.events("stopped")[0]["cut"] == 1
    assert not served.log.events("failure")


def test_idle_connections_hold_up_nothing(serve: Any, alice: Pair) -> None:
    with serve(whoami) as served:
        client = served.client(alice)
        get(client)
        begun = time.monotonic()
    assert time.monotonic() - begun < 2
    with client:
        assert client.recv() == b""


PROGRAM = """
import sys
from pathlib import Path
from tests.web.apps import whoami
from tests.web.conftest import Folder
from tests.tls.throwaway import Environment
from keystead.pki.names import TrustDomain
from keystead.web.server import serve

folder = Folder.__new__(Folder)
folder.path = Path(sys.argv[1])
folder.env = type("Names", (), {"trust_domain": TrustDomain("dev.example.internal")})
serve(whoami, folder.source, listen=("127.0.0.1:0",), log=sys.stderr,
      on_ready=lambda addresses: print(addresses[0].port, flush=True))
print("ended", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_properly(folder: Any, alice: Pair, number: signal.Signals) -> None:
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with RawClient(port, alice.context) as client:
            assert get(client.handshake()).status == 200
            process.send_signal(number)
            assert client.recv() == b""
        out, log = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert (out, process.returncode) == ("ended\n", 0)
    assert [json.loads(line)["event"] for line in log.splitlines()] == ["started", "request", "stopped"]
