"""Several processes behind one door behave as one: revocation, swaps, limits, log, stop, and a crash."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.tls.doors import until
from tests.tls.rawclient import RawClient, alert_of
from tests.tls.throwaway import Environment, Pair
from tests.web.apps import begin_upload, get, read_answer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROGRAM = "from tests.web.crew import main; main()"


@dataclass
class Crew:
    """A server of several workers, as a test sees it."""

    process: subprocess.Popen[bytes]
    lines: list[bytes] = field(default_factory=list)
    out: list[bytes] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.out[0])

    def events(self, event: str) -> list[dict[str, Any]]:
        return [found for found in map(json.loads, tuple(self.lines)) if found["event"] == event]

    @property
    def pids(self) -> dict[int, int]:
        """The newest process of each worker."""
        return {line["worker"]: line["pid"] for line in self.events("worker-started")}

    def client(self, pair: Pair, **options: Any) -> RawClient:
        return RawClient(self.port, pair.context, **options).handshake()

    def one_on_each(self, pair: Pair, closing: ExitStack) -> dict[int, RawClient]:
        """A kept-alive connection to each worker, by its process id."""
        found: dict[int, RawClient] = {}
        deadline = time.monotonic() + 20
        while found.keys() != set(self.pids.values()):
            assert time.monotonic() < deadline, "a worker is given no connection"
            client = closing.enter_context(self.client(pair))
            found.setdefault(pid_of(client), client)
        return found


def pid_of(client: RawClient) -> int:
    return int(json.loads(get(client).body)["pid"])


def is_cut(client: RawClient) -> bool:
    """Whether the server ends the connection; waits for it."""
    try:
        return client.recv() == b""
    except (ssl.SSLError, ConnectionError):
        return True


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gather(stream: IO[bytes], into: list[bytes]) -> threading.Thread:
    def read() -> None:
        for line in iter(stream.readline, b""):
            into.append(line)

    thread = threading.Thread(target=read)
    thread.start()
    return thread


@pytest.fixture
def crew(folder: Any) -> Callable[..., Any]:
    """A context manager that serves from ``folder`` with several workers."""

    @contextmanager
    def make(workers: int = 4, app: str = "which", **limits: float) -> Iterator[Crew]:
        command = [sys.executable, "-c", PROGRAM, str(folder.path), app, str(workers)]
        process = subprocess.Popen(
            [*command, json.dumps(limits)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        assert process.stderr is not None
        made = Crew(process)
        readers = [gather(process.stdout, made.out), gather(process.stderr, made.lines)]
        try:
            until(lambda: made.out or process.poll() is not None, 30)
            assert made.out, made.lines
            yield made
        finally:
            process.terminate()
            try:
                process.wait(20)
            finally:
                process.kill()
                process.wait()
                for reader in readers:
                    reader.join(20)
                process.stdout.close()
                process.stderr.close()

    return make


def test_it_is_ready_once_when_all_workers_are(crew: Any) -> None:
    with crew() as served:
        assert len(served.out) == 1
        kinds = [json.loads(line)["event"] for line in served.lines]
        assert kinds == ["worker-started"] * 4 + ["started"]
        assert sorted(served.pids) == [1, 2, 3, 4]
        assert served.events("started")[0]["workers"] == 4
    assert served.process.returncode == 0
    assert json.loads(served.lines[-1]) | {"time": ""} == {"event": "stopped", "cut": 0, "time": ""}
    assert not any(map(is_running, served.pids.values()))


@contextmanager
def locks_held(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whoever has the memory of ``process`` holds both of its locks, and does not let go."""
    folder = Path(f"/proc/{process.pid}/fd")
    memory = next(path for path in folder.iterdir() if "keystead-serve" in str(path.readlink()))
    with memory.open("r+b", buffering=0) as stream:
        fcntl.lockf(stream, fcntl.LOCK_EX, 2)
        yield


def test_who_keeps_the_locks_keeps_nobody_from_being_served_or_stopped(crew: Any, alice: Pair) -> None:
    with crew(2, stop_seconds=1) as served, locks_held(served.process):
        with served.client(alice) as client:
            os.kill(pid_of(client), signal.SIGKILL)
        until(lambda: len(served.events("worker-started")) == 3, 20)
        with served.client(alice) as client:
            assert pid_of(client) in served.pids.values()
        served.process.terminate()
        assert served.process.wait(10) == 0
    assert served.events("stopped")
    assert not any(map(is_running, served.pids.values()))


def test_a_worker_that_is_stopped_does_not_keep_the_server_from_its_end(crew: Any) -> None:
    with crew(2, stop_seconds=0.5) as served:
        os.kill(served.pids[1], signal.SIGSTOP)
        served.process.terminate()
        assert served.process.wait(15) == 0
    assert not any(map(is_running, served.pids.values()))


def test_the_application_s_lifespan_is_each_worker_s_own(crew: Any, alice: Pair) -> None:
    with crew(2) as served, ExitStack() as closing:
        clients = served.one_on_each(alice, closing)
        assert [json.loads(get(client).body)["begun"] for client in clients.values()] == [1, 1]


def test_a_client_that_is_revoked_is_out_on_every_worker_within_a_second(
    crew: Any, folder: Any, dev: Environment, alice: Pair
) -> None:
    carol = dev.leaf("carol")
    with crew() as served, ExitStack() as closing:
        kept = served.one_on_each(carol, closing)
        good = served.one_on_each(alice, closing)
        uploading = served.one_on_each(carol, closing)
        for client in uploading.values():
            begin_upload(client, 10_000_000)
            client.send(bytes(100_000))
        folder.write("crl.pem", dev.crl_pem(carol, number=2))
        begun = time.monotonic()
        told = [read_answer(client) for client in uploading.values()]
        assert all(is_cut(client) for client in kept.values())
        took = time.monotonic() - begun
        seen = {alert_of(served.port, carol.context) for _ in range(60)}
        assert {get(client).status for client in good.values()} == {200}
    assert took < 1.0
    assert seen == {"SSLV3_ALERT_CERTIFICATE_REVOKED"}
    assert {(found.status, found.problem["type"]) for found in told} == {
        (403, "urn:keystead:problem:revoked")
    }
    assert len({line["worker"] for line in served.events("handshake-refused")}) > 1
    assert sorted(line["worker"] for line in served.events("reloaded")) == [1, 2, 3, 4]


def test_a_renewed_certificate_is_shown_by_every_worker_within_a_second(
    crew: Any, folder: Any, dev: Environment, alice: Pair
) -> None:
    fresh = dev.leaf("web", "server")
    with crew() as served, ExitStack() as closing:
        old = served.one_on_each(alice, closing)
        folder.install(fresh)
        time.sleep(1.0)  # what is promised
        for client in served.one_on_each(alice, closing).values():
            shown = client.tls.getpeercert(binary_form=True)
            assert shown == fresh.certificate.public_bytes(Encoding.DER)
        assert {get(client).status for client in old.values()} == {200}


def test_a_warning_that_concerns_all_workers_is_given_once(crew: Any, folder: Any) -> None:
    with crew() as served:
        folder.write("crl.pem", b"no list at all")
        until(lambda: served.events("warning"), 5)
        time.sleep(1.0)  # the others have looked twice meanwhile
    assert [line["code"] for line in served.events("warning")] == ["bad-crl"]


def test_one_address_has_its_share_of_all_workers_together(crew: Any, alice: Pair) -> None:
    with crew(connections_per_address=8) as served, ExitStack() as closing:
        held = [closing.enter_context(served.client(alice)) for _ in range(8)]
        assert len({pid_of(client) for client in held}) > 1
        for _ in range(8):
            assert alert_of(served.port, alice.context) in ("reset", "eof")
        elsewhere = closing.enter_context(served.client(alice, source="127.0.0.9"))
        assert get(elsewhere).status == 200
        held[0].socket.close()
        until(lambda: alert_of_nothing(served.port, alice))
    assert served.events("handshake-refused")[0]["code"] == "too-many"


def alert_of_nothing(port: int, pair: Pair) -> bool:
    """Whether a connection stands and a request is served."""
    with RawClient(port, pair.context) as client:
        try:
            return get(client.handshake()).status == 200
        except (ssl.SSLError, ConnectionError, EOFError):
            return False


def test_the_connections_in_all_are_bounded_over_all_workers(crew: Any, alice: Pair) -> None:
    with crew(connections=12) as served, ExitStack() as closing:
        for number in range(12):
            client = closing.enter_context(served.client(alice, source=f"127.0.0.{number + 2}"))
            assert get(client).status == 200  # and so not half-open any more
        for _ in range(8):
            assert alert_of(served.port, alice.context) in ("reset", "eof")


def test_a_flood_of_silent_connections_on_other_workers_gives_way_to_a_real_client(
    crew: Any, alice: Pair
) -> None:
    with crew(connections_per_address=10, handshake_seconds=60) as served, ExitStack() as closing:
        for _ in range(10):
            silent = socket.create_connection(("127.0.0.1", served.port), timeout=10)
            closing.enter_context(silent)
        until(lambda: alert_of_nothing(served.port, alice))
        held = [closing.enter_context(served.client(alice)) for _ in range(9)]
        assert {get(client).status for client in held} == {200}
        until(lambda: len(served.events("handshake-refused")) >= 9)
        assert {line["code"] for line in served.events("handshake-refused")} == {"crowded-out"}


def test_a_thousand_requests_leave_a_thousand_whole_lines(crew: Any, alice: Pair) -> None:
    """To a pipe, where a line of more than 4,096 octets is not written in one piece by itself."""

    def visit(visitor: int) -> None:
        with served.client(alice) as client:
            for number in range(50):
                get(client, f"/{visitor}/{number}/" + "x" * (number * 200))

    with crew() as served:
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(visit, range(20)))
        until(lambda: len(served.lines) >= 1005)
        requests = served.events("request")
    assert len({line["path"] for line in requests}) == len(requests) == 1000
    assert len({line["worker"] for line in requests}) == 4
    assert all(line.endswith(b"}\n") for line in served.lines)


def test_a_worker_that_is_killed_is_started_again_and_no_other_notices(crew: Any, alice: Pair) -> None:
    with crew(connections_per_address=12) as served, ExitStack() as closing:
        held = [closing.enter_context(served.client(alice)) for _ in range(12)]
        by_pid: dict[int, list[RawClient]] = {}
        for client in held:
            by_pid.setdefault(pid_of(client), []).append(client)
        assert len(by_pid) > 1
        victim, cut = next(iter(by_pid.items()))
        os.kill(victim, signal.SIGKILL)
        assert all(map(is_cut, cut))
        until(lambda: len(served.events("worker-started")) == 5)
        again = [closing.enter_context(served.client(alice)) for _ in cut]  # their places are free
        assert {get(client).status for client in again} == {200}
        assert alert_of(served.port, alice.context) in ("reset", "eof")
        for pid, clients in by_pid.items():
            if pid != victim:
                assert {pid_of(client) for client in clients} == {pid}
        (ended,) = served.events("worker-ended")
        assert (ended["how"], ended["again_in_seconds"]) == ("killed by SIGKILL", 0.1)
        assert served.pids[ended["worker"]] != victim


def test_a_worker_that_ends_by_a_signal_without_a_name_is_started_again(crew: Any, alice: Pair) -> None:
    nameless = signal.SIGRTMIN + 6
    with crew(2) as served:
        os.kill(served.pids[1], nameless)
        until(lambda: len(served.events("worker-started")) == 3)
        assert [line["how"] for line in served.events("worker-ended")] == [f"killed by signal {nameless}"]
        with served.client(alice) as client:
            assert get(client).status == 200


def test_a_worker_that_cannot_start_again_is_told_of_and_comes_back_when_it_can(
    crew: Any, folder: Any, alice: Pair
) -> None:
    with crew(2) as served:
        key = (folder.path / "web.key").read_bytes()
        folder.write("web.key", b"not a key")
        os.kill(served.pids[1], signal.SIGKILL)
        until(lambda: len(served.events("worker-ended")) >= 3)
        assert alert_of_nothing(served.port, alice)  # the other has its last good
        folder.write("web.key", key)
        until(lambda: len(served.events("worker-started")) == 3, 20)
        ends = served.events("worker-ended")
        assert [line["how"] for line in ends[:2]] == ["killed by SIGKILL", "could not start"]
        pauses = [line["again_in_seconds"] for line in ends]
        assert pauses == [0.1 * 2**count for count in range(len(pauses))]
        assert {line["code"] for line in ends[1:]} == {"bad-key"}


def test_when_the_supervisor_is_killed_nobody_is_left(crew: Any, alice: Pair) -> None:
    with crew(stop_seconds=1.0) as served, ExitStack() as closing:
        clients = served.one_on_each(alice, closing)
        begin_upload(next(iter(clients.values())), 1000)
        pids = tuple(served.pids.values())
        served.process.kill()
        served.process.wait()
        until(lambda: not any(map(is_running, pids)), 5)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", served.port), timeout=5)


def test_at_sigterm_every_upload_is_finished(crew: Any, alice: Pair) -> None:
    with crew() as served, ExitStack() as closing:
        uploading = served.one_on_each(alice, closing)
        for client in uploading.values():
            begin_upload(client, 200_000)
            client.send(bytes(100_000))
        served.process.terminate()
        for pid in served.pids.values():  # as systemd does, which signals the whole group
            os.kill(pid, signal.SIGTERM)
        until(lambda: is_refused(served.port))
        for client in uploading.values():
            client.send(bytes(100_000))
            assert read_answer(client).status == 200
        served.process.wait(5)
    assert served.process.returncode == 0
    assert served.events("stopped")[0]["cut"] == 0


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_second_signal_cuts_what_runs_on_every_worker(crew: Any, alice: Pair) -> None:
    with crew() as served, ExitStack() as closing:
        uploading = served.one_on_each(alice, closing)
        for client in uploading.values():
            begin_upload(client, 200_000)
        served.process.terminate()
        until(lambda: is_refused(served.port))
        begun = time.monotonic()
        served.process.send_signal(signal.SIGINT)
        served.process.wait(8)
        assert time.monotonic() - begun < 3
        assert all(map(is_cut, uploading.values()))
    assert served.process.returncode == 0
    assert served.events("stopped")[0]["cut"] == 4


def test_a_worker_that_hangs_is_killed_at_the_end(crew: Any, alice: Pair) -> None:
    with crew(2, stop_seconds=0.2) as served:
        os.kill(served.pids[1], signal.SIGSTOP)
        served.process.terminate()
        served.process.wait(15)
        assert not any(map(is_running, served.pids.values()))
    with suppress(ProcessLookupError):
        os.kill(served.pids[1], signal.SIGCONT)
