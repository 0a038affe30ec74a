"""`serve` speaks tus as others do: with tus-js-client on Node, and with tuspy."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed
from tusclient.uploader.uploader import Uploader

from tests.e2e.conftest import PATIENCE, Machine, Server
from tests.programs import program

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).parent / "tusjs"
OCTETS = os.urandom(3_000_001)
CHUNK = 1_000_000
NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ENETUNREACH", "ECONNREFUSED", "ETIMEDOUT")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    machine = Machine(tmp_path_factory.mktemp("tus"))
    machine.ok("dev")
    return machine


@pytest.fixture(scope="module")
def server(machine: Machine) -> Iterator[Server]:
    with machine.serving("--keep-free", "0") as server:
        yield server


@pytest.fixture
def stored(machine: Machine, server: Server) -> Iterator[Path]:
    """Where the client's files come to lie."""
    folder = machine.folder / "certs" / "uploads" / "client" / "client"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "sent.bin"
    path.write_bytes(OCTETS)
    return path


def unfinished(folder: Path) -> int:
    return len(list(folder.glob(".uploads/*.data")))


# ---- tus-js-client


@pytest.fixture(scope="module")
def tusjs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tus-js-client as package-lock.json has it, in a folder of this session."""
    program("node")
    npm = program("npm")
    place = tmp_path_factory.mktemp("tusjs") / "tusjs"
    shutil.copytree(SOURCE, place, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE,
    )
    if done.returncode and any(code in done.stderr for code in NO_NETWORK):
        pytest.skip(f"npm reaches no registry, so that there is no tus-js-client: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return place


class Js:
    """The client in a process of its own for each upload, as one that is killed needs it."""

    def __init__(self, place: Path, machine: Machine, server: Server, path: Path) -> None:
        certs = machine.folder / "certs"
        self._place = place
        self._wish: dict[str, Any] = {
            "file": str(path),
            "name": "ü from Node.bin",
            "endpoint": f"{server.url}/tus/",
            "ca": str(certs / "ca.crt"),
            "cert": str(certs / "client.crt"),
            "key": str(certs / "client.key"),
            "memory": str(path.with_suffix(".memory")),
        }

    def __call__(self, wish: dict[str, Any] | None = None, **options: Any) -> list[dict[str, Any]]:
        """Upload the file; what happened, in order."""
        whole = self._wish | {"options": {"chunkSize": CHUNK} | options} | (wish or {})
        done = subprocess.run(
            [program("node"), "upload.mjs", json.dumps(whole)],
            cwd=self._place,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.stderr == ""
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def js(tusjs: Path, machine: Machine, server: Server, path: Path) -> Js:
    return Js(tusjs, machine, server, path)


def test_node_uploads_a_file_in_chunks(js: Js, stored: Path) -> None:
    events = js()
    assert [event["accepted"] for event in events if "accepted" in event] == [
        CHUNK,
        2 * CHUNK,
        3 * CHUNK,
        len(OCTETS),
    ]
    assert events[-1] == {"done": True}
    assert (stored / "ü from Node.bin").read_bytes() == OCTETS
    assert unfinished(stored) == 0


def test_node_goes_on_after_it_was_killed(js: Js, stored: Path) -> None:
    first = js({"killedAt": 2 * CHUNK})
    assert not (stored / "ü from Node.bin").exists()
    second = js()
    assert second[0]["resumed"] == next(event["url"] for event in first if "url" in event)
    assert [event["accepted"] for event in second if "accepted" in event] == [3 * CHUNK, len(OCTETS)]
    assert (stored / "ü from Node.bin").read_bytes() == OCTETS


@pytest.mark.parametrize("options", [{}, {"chunkSize": 10_000_000}])
def test_node_begins_with_the_creation(js: Js, stored: Path, options: dict[str, Any]) -> None:
    assert js(uploadDataDuringCreation=True, **options)[-1] == {"done": True}
    assert (stored / "ü from Node.bin").read_bytes() == OCTETS


def test_node_posts_where_it_cannot_patch(js: Js, stored: Path) -> None:
    assert js(overridePatchMethod=True)[-1] == {"done": True}
    assert (stored / "ü from Node.bin").read_bytes() == OCTETS


def test_node_sends_a_checksum_with_each_chunk(js: Js, stored: Path) -> None:
    assert js({"checksum": True})[-1] == {"done": True}
    assert (stored / "ü from Node.bin").read_bytes() == OCTETS


def test_node_is_told_of_a_chunk_that_does_not_fit_its_checksum(js: Js, stored: Path) -> None:
    assert js({"checksum": True, "spoilt": True})[-1] == {"error": 460}
    assert js()[-1] == {"done": True}
    assert (stored / "ü from Node.bin").read_bytes() == OCTETS


def test_node_terminates_an_upload(js: Js, stored: Path) -> None:
    assert {"terminated": True} in js({"terminatedAt": CHUNK})
    assert unfinished(stored) == 0
    assert not (stored / "ü from Node.bin").exists()


def test_node_is_refused_a_name_that_climbs(js: Js, stored: Path) -> None:
    assert js({"name": "../evil"})[-1] == {"error": 400}
    assert not stored.exists()


def test_node_asks_for_a_length_later_and_is_refused(js: Js) -> None:
    assert js(uploadLengthDeferred=True, uploadSize=None)[-1] == {"error": 400}


# ---- tuspy


@pytest.fixture
def tuspy(machine: Machine, server: Server, monkeypatch: pytest.MonkeyPatch) -> TusClient:
    certs = machine.folder / "certs"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certs / "ca.crt"))
    identity = (str(certs / "client.crt"), str(certs / "client.key"))
    return TusClient(f"{server.url}/tus/", client_cert=identity)


def uploader(client: TusClient, stream: Any, name: str = "from tuspy.bin", **options: Any) -> Uploader:
    return client.uploader(file_stream=stream, metadata={"filename": name}, **options)


@pytest.mark.parametrize("checksum", [False, True])
def test_tuspy_uploads_a_file_in_chunks(tuspy: TusClient, stored: Path, path: Path, checksum: bool) -> None:
    with path.open("rb") as stream:
        uploader(tuspy, stream, chunk_size=CHUNK, upload_checksum=checksum).upload()
    assert (stored / "from tuspy.bin").read_bytes() == OCTETS


def test_tuspy_goes_on_where_it_was(tuspy: TusClient, stored: Path, path: Path) -> None:
    with path.open("rb") as stream:
        first = uploader(tuspy, stream, chunk_size=CHUNK)
        first.upload(stop_at=2 * CHUNK)
        second = uploader(tuspy, stream, url=first.url)
        assert second.offset == 2 * CHUNK
        second.upload()
    assert (
        hashlib.sha256((stored / "from tuspy.bin").read_bytes()).digest() == hashlib.sha256(OCTETS).digest()
    )


def test_tuspy_is_told_of_a_chunk_that_does_not_fit_its_checksum(
    tuspy: TusClient, stored: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Uploader, "CHECKSUM_ALGORITHM_PAIR", ("sha1", lambda _: hashlib.sha1(b"another")))
    with path.open("rb") as stream, pytest.raises(TusUploadFailed) as caught:
        uploader(tuspy, stream, upload_checksum=True).upload()
    assert caught.value.status_code == 460
    assert not (stored / "from tuspy.bin").exists()


def test_tuspy_is_refused_a_name_that_climbs(tuspy: TusClient, path: Path) -> None:
    with path.open("rb") as stream, pytest.raises(TusCommunicationError) as caught:
        uploader(tuspy, stream, name="../evil").upload()
    assert caught.value.status_code == 400


def test_tuspy_without_a_certificate_is_not_let_in(tuspy: TusClient, path: Path) -> None:
    tuspy.client_cert = None
    with path.open("rb") as stream, pytest.raises(TusCommunicationError):
        uploader(tuspy, stream).upload()
