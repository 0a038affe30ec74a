"""`keystead serve --workers` and `--min-tls`, with the installed command."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.e2e.conftest import Machine, Server
from tests.tls.doors import until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("everybody")]


@pytest.fixture
def everybody(dev_ca: None, machine: Machine, certified: Callable[..., None]) -> None:
    """A server and two clients, with a file to send at hand."""
    certified("server", profile="server")
    certified("alice")
    certified("bob")
    (machine.folder / "report.txt").write_text("numbers")


def events(server: Server, event: str) -> list[dict[str, object]]:
    """The log's lines of one kind."""
    lines = map(json.loads, server.log.read_text().splitlines())
    return [line for line in lines if line["event"] == event]


def curl(machine: Machine, server: Server, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """curl as ``name``, a fresh connection each time; prints the status."""
    command = [
        *("curl", "-sS", "-o", "answer", "-w", "%{http_code}", "--cacert", f"{name}/ca.crt"),
        *("--cert", f"{name}/{name}.crt", "--key", f"{name}/{name}.key", *words),
    ]
    return subprocess.run(command, cwd=machine.folder, capture_output=True, text=True, timeout=20)


def test_a_revocation_is_in_force_on_every_worker_within_a_second(machine: Machine) -> None:
    with machine.serving("--dir", "server", "--workers", "3") as server:
        for name in ("alice", "bob"):
            machine.ok("upload", "report.txt", "--dir", name, "--to", server.url)
        machine.ok("ca", "revoke", "bob", "--reason", "keyCompromise")
        machine.ok("ca", "crl", "--out", "fresh.pem")
        (machine.folder / "fresh.pem").replace(machine.folder / "server/crl.pem")
        time.sleep(1)
        whoami = f"{server.url}/whoami"
        asked = [curl(machine, server, "bob", whoami) for _ in range(30)]
        assert all("revoked" in refused.stderr for refused in asked)
        assert curl(machine, server, "alice", whoami).stdout == "200"
        refusing = {line["worker"] for line in events(server, "handshake-refused")}
        assert len(refusing) > 1
    assert len(events(server, "reloaded")) == 3


def test_an_upload_in_pieces_goes_on_at_whichever_worker_it_comes_to(machine: Machine) -> None:
    pieces = 20
    tus = ("-H", "Tus-Resumable: 1.0.0")
    with machine.serving("--dir", "server", "--workers", "3") as server:
        create = [*tus, "-X", "POST", "-H", f"Upload-Length: {pieces * 7}", "-D", "head"]
        name = ("-H", "Upload-Metadata: filename cGllY2Vz")  # "pieces"
        assert curl(machine, server, "alice", *create, *name, f"{server.url}/tus/").stdout == "201"
        head = (machine.folder / "head").read_text().splitlines()
        (location,) = (line.partition(": ")[2] for line in head if line.lower().startswith("location:"))
        to = location if location.startswith("https:") else server.url + location
        kind = ("-H", "Content-Type: application/offset+octet-stream")
        for piece in range(pieces):
            patch = (
                "-X",
                "PATCH",
                *kind,
                "-H",
                f"Upload-Offset: {piece * 7}",
                "--data-binary",
                "@report.txt",
            )
            assert curl(machine, server, "alice", *tus, *patch, to).stdout == "204"
        machine.ok("get", "pieces", "--dir", "alice", "--to", server.url)
        patched = [line for line in events(server, "request") if line["method"] == "PATCH"]
    assert len({line["worker"] for line in patched}) > 1
    assert len(patched) == pieces
    (fetched,) = (path for path in machine.folder.rglob("pieces") if "server" not in path.parts)
    assert fetched.read_text() == "numbers" * pieces


def test_a_command_reaches_a_server_whose_worker_was_killed(machine: Machine) -> None:
    with machine.serving("--dir", "server", "--workers", "2") as server:
        for count in range(3):
            until(lambda: len(events(server, "worker-started")) == 2 + count)  # noqa: B023  called at once
            newest = events(server, "worker-started")[-1]["pid"]
            assert isinstance(newest, int)
            os.kill(newest, signal.SIGKILL)
            machine.ok("upload", "report.txt", "--dir", "alice", "--to", server.url)
    assert server.process.wait(0) == 0
    assert len(events(server, "worker-ended")) == 3


def test_what_keeps_workers_from_starting_is_said_once(machine: Machine) -> None:
    def refused(*words: str) -> str:
        ran = machine.run("serve", "--dir", "server", "--workers", "3", *words)
        assert ran.err.count("error:") == 1, ran.text
        assert "worker" not in ran.err
        assert ran.code in (1, 2)
        return f"{ran.code} {ran.err}"

    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refused("--listen", f"127.0.0.1:{taken.getsockname()[1]}")
        assert said.startswith("1 ")
        assert "Address already in use" in said
    free = ("--listen", "localhost:0")
    assert "no module 'nowhere'" in refused(*free, "nowhere:app")
    assert refused(*free, "nowhere").startswith("2 ")
    (machine.folder / "server/crl.pem").rename(machine.folder / "hidden.pem")
    assert "crl.pem" in refused(*free)
    (machine.folder / "server/crl.pem").write_text("no list")
    assert "crl.pem" in refused(*free)
    (machine.folder / "hidden.pem").replace(machine.folder / "server/crl.pem")
    (machine.folder / "server/server.key").chmod(0o644)
    assert "server.key" in refused(*free)


APPLICATION = """
import os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError("none here")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""


def test_an_application_runs_in_each_worker(machine: Machine) -> None:
    (machine.folder / "service.py").write_text(APPLICATION)
    seen = set()
    with machine.serving("--dir", "server", "--workers", "2", "service:app") as server:
        for _ in range(40):
            assert curl(machine, server, "alice", server.url).stdout == "200"
            seen.add((machine.folder / "answer").read_text())
        assert seen == {str(line["pid"]) for line in events(server, "worker-started")}


def test_tls_1_2_is_spoken_where_it_is_asked_for(machine: Machine) -> None:
    old = ("--tls-max", "1.2")
    with machine.serving("--dir", "server") as server:
        assert "protocol version" in curl(machine, server, "alice", *old, f"{server.url}/whoami").stderr
    assert events(server, "handshake-refused")[0]["code"] == "old-tls"
    with machine.serving("--dir", "server", "--min-tls", "1.2") as server:
        assert curl(machine, server, "alice", *old, f"{server.url}/whoami").stdout == "200"
        assert curl(machine, server, "alice", "--tlsv1.3", f"{server.url}/whoami").stdout == "200"
        machine.ok("ca", "revoke", "bob", "--reason", "superseded")
        machine.ok("ca", "crl", "--out", "server/crl.pem")
        time.sleep(1)
        assert "revoked" in curl(machine, server, "bob", *old, f"{server.url}/whoami").stderr
