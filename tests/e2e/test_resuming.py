"""Uploads and fetches that break off and go on, with the installed command and real kills."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keystead.wire.tus import CHUNK_TYPE, Metadata
from tests.e2e.conftest import PATIENCE, Machine, Process, Server
from tests.proxies import Proxy, proxying

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("everybody")]

MIB = 1 << 20
SIZE = 48 * MIB
SLOWLY = 0.002
UPLOADS = ("--dir", "server", "--keep-free", "0")


@pytest.fixture
def everybody(dev_ca: None, machine: Machine, certified: Callable[..., None]) -> None:
    """A server and a client with a large file."""
    certified("server", profile="server")
    certified("alice")
    (machine.folder / "large.bin").write_bytes(os.urandom(SIZE))


@pytest.fixture
def server(machine: Machine) -> Iterator[Server]:
    with machine.serving(*UPLOADS) as running:
        yield running


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def stored(machine: Machine) -> Path:
    return machine.folder / "server/uploads/client/alice"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def to(proxy: Proxy) -> tuple[str, ...]:
    return ("--dir", "alice", "--to", f"https://localhost:{proxy.port}")


def kill(process: Process) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)


@contextmanager
def started(machine: Machine, *words: str, err: Path = Path(os.devnull)) -> Iterator[Process]:
    """A command that runs during the body, and is killed after it."""
    process = machine.start(*words, err=err)
    try:
        yield process
    finally:
        kill(process)


def killed_in_the_middle(machine: Machine, server: Server) -> None:
    """An upload of whose client a third has gone when it is killed."""
    with (
        proxying(server.port, pause=SLOWLY) as proxy,
        started(machine, "upload", "large.bin", *to(proxy)),
    ):
        until(lambda: proxy.up > SIZE // 3, "the upload does not get on")


def test_a_killed_client_goes_on_where_it_was(machine: Machine, server: Server) -> None:
    killed_in_the_middle(machine, server)
    listed = machine.ok("ls", "--dir", "alice", "--to", server.url)
    assert "large.bin is not here yet: " in listed.err
    assert "large.bin" not in listed.out
    with proxying(server.port) as proxy:
        said = machine.ok("upload", "large.bin", *to(proxy))
        assert "large.bin: goes on at " in said.err
        assert proxy.up < SIZE - SIZE // 4
    assert digest(stored(machine) / "large.bin") == digest(machine.folder / "large.bin")
    assert not list(stored(machine).glob(".uploads/*.data"))


def test_a_file_that_changed_between_runs_is_sent_as_it_is_now(machine: Machine, server: Server) -> None:
    killed_in_the_middle(machine, server)
    (machine.folder / "large.bin").write_bytes(os.urandom(SIZE))
    said = machine.ok("upload", "large.bin", "--dir", "alice", "--to", server.url)
    assert "large.bin: has changed" in said.err
    assert digest(stored(machine) / "large.bin") == digest(machine.folder / "large.bin")


def test_an_upload_survives_a_server_that_is_killed_and_started_again(machine: Machine) -> None:
    said = machine.folder / "said"
    with machine.serving(*UPLOADS) as first, proxying(first.port, pause=SLOWLY) as proxy:
        with started(machine, "upload", "large.bin", *to(proxy), err=said) as client:
            until(lambda: proxy.up > SIZE // 3, "the upload does not get on")
            kill(first.process)
            with machine.serving(*UPLOADS, listen=f"localhost:{first.port}"):
                assert client.wait(PATIENCE) == 0
        assert proxy.up < SIZE * 3 // 2
    assert "trying again" in said.read_text()
    assert "large.bin: goes on at " in said.read_text()
    assert digest(stored(machine) / "large.bin") == digest(machine.folder / "large.bin")


def test_an_upload_goes_on_over_a_broken_connection(machine: Machine, server: Server) -> None:
    with proxying(server.port, up=[SIZE // 3, SIZE // 3], pause=SLOWLY) as proxy:
        said = machine.ok("upload", "large.bin", *to(proxy))
        assert proxy.up < SIZE * 3 // 2
    assert "trying again" in said.err
    assert "large.bin: goes on at " in said.err
    assert digest(stored(machine) / "large.bin") == digest(machine.folder / "large.bin")


def test_an_upload_of_several_workers_goes_on(machine: Machine) -> None:
    with machine.serving(*UPLOADS, "--workers", "3") as server:
        killed_in_the_middle(machine, server)
        said = machine.ok("upload", "large.bin", "--dir", "alice", "--to", server.url)
    assert "large.bin: goes on at " in said.err
    assert digest(stored(machine) / "large.bin") == digest(machine.folder / "large.bin")


def test_an_abandoned_upload_expires_while_the_server_runs(machine: Machine) -> None:
    with machine.serving(*UPLOADS, "--upload-expiry", "2s") as server:
        killed_in_the_middle(machine, server)
        assert list(stored(machine).glob(".uploads/*.data"))
        until(lambda: not list(stored(machine).glob(".uploads/[!.]*")), "it is not swept")


def test_a_killed_get_goes_on_where_it_was(machine: Machine, server: Server) -> None:
    machine.ok("upload", "large.bin", "--dir", "alice", "--to", server.url)
    with (
        proxying(server.port, pause=SLOWLY) as proxy,
        started(machine, "get", "large.bin", "--out", "back", *to(proxy)),
    ):
        until(lambda: proxy.down > SIZE // 3, "the fetch does not get on")
    assert not (machine.folder / "back/large.bin").exists()
    with proxying(server.port) as proxy:
        said = machine.ok("get", "large.bin", "--out", "back", *to(proxy))
        assert proxy.down < SIZE - SIZE // 4
    assert "large.bin: goes on at " in said.err
    assert digest(machine.folder / "back/large.bin") == digest(machine.folder / "large.bin")
    assert [path.name for path in (machine.folder / "back").iterdir() if path.name != ".gitignore"] == [
        "large.bin"
    ]


# ---- who may not


def curl(machine: Machine, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """curl as ``name``, speaking tus; prints head and body of the answer."""
    identity = ("--cacert", f"{name}/ca.crt", "--cert", f"{name}/{name}.crt", "--key", f"{name}/{name}.key")
    command = ["curl", "-sS", "-i", *identity, "-H", "Tus-Resumable: 1.0.0", *words]
    return subprocess.run(command, cwd=machine.folder, capture_output=True, text=True, timeout=PATIENCE)


def created(machine: Machine, server: Server) -> str:
    """The URL of an upload of alice's, of which nothing has come."""
    fields = ("-H", f"Upload-Length: {SIZE}", "-H", f"Upload-Metadata: {Metadata.of_file('f').to_field()}")
    answer = curl(machine, "alice", *fields, "-X", "POST", f"{server.url}/tus/").stdout
    return server.url + next(line for line in answer.splitlines() if line.startswith("location:")).split()[1]


def test_a_client_that_is_revoked_is_cut_in_the_middle_and_gets_no_further(
    machine: Machine, server: Server
) -> None:
    url = created(machine, server)
    chunk = ("-H", f"Content-Type: {CHUNK_TYPE}", "-H", "Upload-Offset: 0", "-H", "Expect:")
    identity = ("--cacert", "alice/ca.crt", "--cert", "alice/alice.crt", "--key", "alice/alice.key")
    with subprocess.Popen(
        [
            *("curl", "-sS", "-i", *identity, "-H", "Tus-Resumable: 1.0.0", *chunk),
            *("--limit-rate", "2m", "-X", "PATCH", "-T", "large.bin", url),
        ],
        cwd=machine.folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as sender:
        until(lambda: sum(path.stat().st_size for path in stored(machine).glob(".uploads/*.data")) > MIB, "")
        machine.ok("ca", "revoke", "alice", "--reason", "keyCompromise")
        machine.ok("ca", "crl", "--out", "fresh.pem")
        (machine.folder / "fresh.pem").replace(machine.folder / "server/crl.pem")
        said, _ = sender.communicate(timeout=PATIENCE)
    assert "HTTP/1.1 403" in said
    (part,) = stored(machine).glob(".uploads/*.data")
    assert MIB < part.stat().st_size < SIZE
    assert "revoked" in curl(machine, "alice", "--head", url).stderr
    assert not (stored(machine) / "f").exists()


def test_another_identity_finds_no_upload(
    machine: Machine, server: Server, certified: Callable[..., None]
) -> None:
    url = created(machine, server)
    certified("bob")
    assert "HTTP/1.1 404" in curl(machine, "bob", "--head", url).stdout
    assert json.loads(curl(machine, "bob", f"{server.url}/tus/").stdout.splitlines()[-1]) == []
    assert "HTTP/1.1 200" in curl(machine, "alice", "--head", url).stdout
