"""`keystead serve --crl URL`, with the installed command: lists of nginx, and of servers that are broken."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from keystead.pki.names import TrustDomain
from tests.e2e.conftest import Machine, Server
from tests.programs import program
from tests.tls.doors import until
from tests.tls.listserver import ListServer, answers, list_server
from tests.tls.throwaway import Environment

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("everybody")]

POLL = 3.0
"""A poll of a second with its jitter, a look at the file, and a busy machine."""


@pytest.fixture
def everybody(dev_ca: None, machine: Machine, certified: Callable[..., None]) -> None:
    """A server and a client, and the CA's lists to be published."""
    certified("server", profile="server")
    certified("alice")
    machine.ok("ca", "crl", "--out", "published.pem")


@dataclass(frozen=True)
class Nginx:
    """One that gives files out of ``folder`` over plain http."""

    folder: Path
    url: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End it; nothing where it has ended."""
        self.process.terminate()
        self.process.wait(10)

    def put(self, source: Path) -> None:
        """Put the file there as ``crl.pem``, whole at once."""
        beside = self.folder / "new"
        beside.write_bytes(source.read_bytes())
        beside.replace(self.folder / "crl.pem")

    def statuses(self) -> list[str]:
        """Of its answers so far."""
        return (self.folder / "access.log").read_text().split()


CONFIGURATION = """\
daemon off;
{user}
worker_processes 1;
pid {place}/nginx.pid;
error_log {place}/error.log;
events {{ }}
http {{
    log_format status $status;
    access_log {place}/access.log status;
    client_body_temp_path {place}/unused;
    proxy_temp_path {place}/unused;
    fastcgi_temp_path {place}/unused;
    uwsgi_temp_path {place}/unused;
    scgi_temp_path {place}/unused;
    server {{ listen 127.0.0.1:{port}; root {place}; gzip on; gzip_min_length 1; gzip_types *; }}
}}
"""


@contextmanager
def nginx_in(place: Path) -> Iterator[Nginx]:
    place.mkdir()
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    user = "user root;" if os.geteuid() == 0 else ""
    (place / "nginx.conf").write_text(CONFIGURATION.format(place=place, port=port, user=user))
    command = [program("nginx"), "-e", f"{place}/error.log", "-c", f"{place}/nginx.conf"]
    started = Nginx(place, f"http://127.0.0.1:{port}/crl.pem", subprocess.Popen(command))
    try:
        until((place / "nginx.pid").exists)  # written once it listens
        yield started
    finally:
        started.stop()


@pytest.fixture
def nginx(machine: Machine) -> Iterator[Nginx]:
    """It has the CA's lists as they were before any revocation."""
    with nginx_in(machine.folder / "nginx") as running:
        running.put(machine.folder / "published.pem")
        yield running


@pytest.fixture
def lists(machine: Machine) -> Iterator[ListServer]:
    """A server of lists that does what a test says; at first it has the CA's."""
    with list_server() as running:
        running.script = answers((machine.folder / "published.pem").read_bytes())
        yield running


def serving(machine: Machine, url: str, *more: str) -> AbstractContextManager[Server]:
    """The server, asking ``url`` each second."""
    return machine.serving("--dir", "server", "--crl", url, "--crl-poll", "1", *more)


def events(server: Server, event: str) -> list[dict[str, object]]:
    """The log's lines of one kind; before the log there may be warnings of the start."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def codes(server: Server) -> list[object]:
    """Of the warnings so far."""
    return [line["code"] for line in events(server, "warning")]


def await_warning(server: Server, code: str) -> None:
    """Wait until it is in the log."""
    until(lambda: code in codes(server))


def status(machine: Machine, server: Server) -> str:
    """What curl gets as alice over a new connection, or why it gets nothing."""
    command = [
        *("curl", "-sS", "-o", os.devnull, "-w", "%{http_code}", "--cacert", "alice/ca.crt"),
        *("--cert", "alice/alice.crt", "--key", "alice/alice.key", f"{server.url}/whoami"),
    ]
    asked = subprocess.run(command, cwd=machine.folder, capture_output=True, text=True, timeout=20)
    return "revoked" if "revoked" in asked.stderr else asked.stdout


def revoke(machine: Machine) -> Path:
    """Revoke alice at the CA: the lists that say so."""
    machine.ok("ca", "revoke", "alice", "--reason", "keyCompromise")
    machine.ok("ca", "crl", "--out", "newer.pem")
    return machine.folder / "newer.pem"


def test_a_revocation_that_nginx_serves_is_in_force_within_a_poll_and_outlives_a_restart_off_line(
    machine: Machine, nginx: Nginx
) -> None:
    with serving(machine, nginx.url) as server:
        assert status(machine, server) == "200"
        until(lambda: nginx.statuses()[-2:] == ["304", "304"])
        assert events(server, "crl-fetched") == []
        newer = revoke(machine)
        nginx.put(newer)
        until(lambda: status(machine, server) == "revoked", POLL)
        (fetched,) = events(server, "crl-fetched")
        assert fetched["url"] == nginx.url
        until(lambda: nginx.statuses()[-2:] == ["304", "304"])
        assert codes(server) == []
    nginx.stop()
    with serving(machine, nginx.url) as server:
        assert "the lists in the folder stay in force" in server.log.read_text().partition("{")[0]
        assert status(machine, server) == "revoked"
        until(lambda: codes(server) == ["crl-unreachable"])


def test_a_folder_without_a_list_gets_its_first_one_from_the_url(machine: Machine, nginx: Nginx) -> None:
    (machine.folder / "server/crl.pem").unlink()
    with serving(machine, nginx.url) as server:
        assert status(machine, server) == "200"
    assert (machine.folder / "server/crl.pem").stat().st_mode & 0o777 == 0o644


def test_without_any_list_serve_does_not_start_and_says_what_to_do(
    machine: Machine, lists: ListServer
) -> None:
    (machine.folder / "server/crl.pem").unlink()
    lists.stop()
    ran = machine.refused("serve", "--dir", "server", "--listen", "localhost:0", "--crl", lists.url)
    assert lists.url in ran.err
    assert "keystead ca crl --env dev --out crl.pem" in ran.err


def test_a_url_with_a_password_is_wrong_usage(machine: Machine) -> None:
    ran = machine.run("serve", "--dir", "server", "--crl", "http://eve:hunter2@localhost/crl.pem")
    assert ran.code == 2
    assert "curl --netrc" in ran.err
    assert "hunter2" not in ran.text


def test_whatever_a_broken_server_of_lists_says_the_door_keeps_what_is_in_force(
    machine: Machine, lists: ListServer
) -> None:
    older = (machine.folder / "published.pem").read_bytes()
    foreign = Environment(TrustDomain("staging.example.internal")).crl_pem(number=2_000_000_000)
    answers_to_come = {
        "crl-unreachable": answers(b"", "Location: http://else.example/", status="302 Found"),
        "bad-crl": answers(b"<html>"),
        "crl-rollback": answers(older),
        "crl-unknown-issuer": answers(foreign),
    }
    with serving(machine, lists.url) as server:
        lists.script = answers(revoke(machine).read_bytes())
        until(lambda: status(machine, server) == "revoked", POLL)
        for code, script in answers_to_come.items():
            lists.script = script
            await_warning(server, code)
            assert status(machine, server) == "revoked"
        lists.script = answers((machine.folder / "newer.pem").read_bytes())
        until(lambda: events(server, "crl-recovered"))
        assert list(dict.fromkeys(codes(server))) == list(answers_to_come)
        assert len(events(server, "crl-fetched")) == 1


def test_a_dripped_answer_keeps_nobody_waiting(machine: Machine, lists: ListServer) -> None:
    dripping = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        dripping.set()
        while not lists.stopped.wait(0.05):
            connection.sendall(b"-")

    with serving(machine, lists.url) as server:
        lists.script = drip
        assert dripping.wait(10)
        begun = time.monotonic()
        assert status(machine, server) == "200"
        assert time.monotonic() - begun < 2


def test_of_several_workers_one_fetches_and_all_enforce(machine: Machine, lists: ListServer) -> None:
    with serving(machine, lists.url, "--workers", "2") as server:
        asked, begun = len(lists.heads), time.monotonic()
        until(lambda: len(lists.heads) >= asked + 4)
        assert time.monotonic() - begun > 3.0  # two that ask would have taken half as long
        lists.script = answers(revoke(machine).read_bytes())
        until(lambda: len(events(server, "reloaded")) == 2)
        assert {status(machine, server) for _ in range(10)} == {"revoked"}
        (fetched,) = events(server, "crl-fetched")
        assert fetched["worker"] == 1
