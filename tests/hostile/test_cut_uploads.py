"""An upload that is cut at each tenth: nothing of it is visible, and by tus it can be gone on with."""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.conftest import PATIENCE
from tests.hostile.conftest import Siege
from tests.hostile.innocent import Caller
from tests.rounds import Rounds, in_sample_and_soak
from tests.tls.rawclient import RawClient
from tests.web.apps import Answer, begin_upload, read_answer

TENTHS = range(11)
SIZE = 1_000_000

Cut = Callable[[RawClient], None]


def reset(client: RawClient) -> None:
    """The client's machine is switched off, or a firewall steps in."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


def close_properly(client: RawClient) -> None:
    """The client says goodbye, in mid-body."""
    client.close_notify()
    client.socket.close()


def end_without_goodbye(client: RawClient) -> None:
    """The end of the connection without close_notify: a truncation."""
    client.socket.shutdown(socket.SHUT_WR)
    client.socket.close()


def half_a_record(client: RawClient) -> None:
    """The end falls into a TLS record."""
    client.tls.write(bytes(8192))
    client.socket.sendall(client.outgoing.read()[:100])
    client.socket.close()


CUTS: list[Cut] = [reset, close_properly, end_without_goodbye, half_a_record]


@pytest.fixture
def place(siege: Siege) -> Iterator[Callable[[], list[str]]]:
    """What lies in mallory's folder on the server, hidden or not, once nothing is received any more."""

    def files() -> list[str]:
        folder = siege.uploads / "client" / "mallory"
        deadline = time.monotonic() + PATIENCE
        while list(folder.glob(".incoming-*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != ".gitignore")

    with connected(siege.mallory) as client:  # so that the folder is there
        begin_upload(client, 1, "/files/one")
        client.send(b"1")
        read_answer(client)
    yield files
    ask(siege.mallory, "DELETE", "/files/one")


def connected(caller: Caller) -> RawClient:
    return RawClient(caller.port, caller.context).handshake()


def ask(caller: Caller, method: str, target: str, *fields: str, body: bytes = b"") -> Answer:
    head = [f"{method} {target} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *fields]
    with connected(caller) as client:
        client.send("".join(f"{line}\r\n" for line in head).encode() + b"\r\n" + body)
        return read_answer(client, head_only=method == "HEAD")


def send_tenths(client: RawClient, body: bytes, tenths: int) -> None:
    client.send(body[: len(body) * tenths // 10])


@in_sample_and_soak
def test_an_upload_that_is_cut_at_each_tenth_leaves_nothing(
    siege: Siege, place: Callable[[], list[str]], rounds: Rounds
) -> None:
    before = place()
    for chance in rounds.play(1):
        body = chance.randbytes(SIZE)
        for tenths in TENTHS[:-1]:
            cut = chance.choice(CUTS)
            client = connected(siege.mallory)
            begin_upload(client, SIZE, "/files/cut")
            send_tenths(client, body, tenths)
            cut(client)
            assert place() == before, (tenths, cut.__name__)
    assert ask(siege.mallory, "GET", "/files/cut").status == 404
    assert siege.mistakes() == []


@in_sample_and_soak
def test_a_replacement_that_is_cut_at_each_tenth_leaves_the_file_as_it_was(
    siege: Siege, place: Callable[[], list[str]], rounds: Rounds
) -> None:
    assert ask(siege.mallory, "PUT", "/files/kept", body=b"as it was").status == 201
    before = place()
    for chance in rounds.play(1):
        body = chance.randbytes(SIZE)
        for tenths in TENTHS[:-1]:
            cut = chance.choice(CUTS)
            client = connected(siege.mallory)
            begin_upload(client, SIZE, "/files/kept")
            send_tenths(client, body, tenths)
            cut(client)
            assert place() == before, (tenths, cut.__name__)
            assert ask(siege.mallory, "GET", "/files/kept").body == b"as it was"
    assert ask(siege.mallory, "DELETE", "/files/kept").status == 204


TUS = "Tus-Resumable: 1.0.0"


def create(caller: Caller, name: str, length: int) -> str:
    """An upload by tus: its target."""
    metadata = f"Upload-Metadata: filename {base64.b64encode(name.encode()).decode()}"
    created = ask(caller, "POST", "/tus/", TUS, f"Upload-Length: {length}", metadata)
    assert created.status == 201, created
    return created.headers["location"].removeprefix(f"https://localhost:{caller.port}")


def patch(target: str, offset: int, length: int) -> bytes:
    """The head of a request that goes on with it."""
    head = [f"PATCH {target} HTTP/1.1", "Host: localhost", TUS, f"Upload-Offset: {offset}"]
    head += ["Content-Type: application/offset+octet-stream", f"Content-Length: {length}"]
    return "".join(f"{line}\r\n" for line in head).encode() + b"\r\n"


def reached(caller: Caller, target: str) -> int:
    return int(ask(caller, "HEAD", target, TUS).headers["upload-offset"])


def go_on(caller: Caller, target: str, body: bytes) -> Answer:
    """Send the rest; where what was sent before the cut was still on its way, ask again where it goes on."""
    deadline = time.monotonic() + PATIENCE
    while True:
        offset = reached(caller, target)
        with connected(caller) as client:
            client.send(patch(target, offset, len(body) - offset) + body[offset:])
            answer = read_answer(client)
        if answer.status != 409 or time.monotonic() > deadline:
            return answer


@in_sample_and_soak
def test_an_upload_by_tus_that_is_cut_at_each_tenth_is_gone_on_with_and_is_whole(
    siege: Siege, place: Callable[[], list[str]], rounds: Rounds
) -> None:
    for chance in rounds.play(1):
        body = chance.randbytes(SIZE)
        target = create(siege.mallory, "resumed", SIZE)
        for tenths in TENTHS[1:-1]:
            offset = reached(siege.mallory, target)
            assert offset <= SIZE * (tenths - 1) // 10
            assert ask(siege.mallory, "GET", "/files/resumed").status == 404
            with connected(siege.mallory) as client:
                client.send(patch(target, offset, SIZE - offset))
                client.send(body[offset : SIZE * tenths // 10])
                chance.choice(CUTS)(client)
        assert go_on(siege.mallory, target, body).status == 204
        received = ask(siege.mallory, "GET", "/files/resumed").body
        assert hashlib.sha256(received).digest() == hashlib.sha256(body).digest()
        assert ask(siege.mallory, "DELETE", "/files/resumed").status == 204
    assert siege.mistakes() == []
