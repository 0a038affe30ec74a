"""Odd targets and fields against the installed server: answered, never by a 5xx; others' files stay."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Sequence
from urllib.parse import unquote_to_bytes

import pytest

from keystead.wire.files import check_file_name
from tests.hostile.conftest import Siege
from tests.hostile.mutations import PER_ROUND, SAMPLE, mutated
from tests.rounds import Rounds, in_sample_and_soak
from tests.tls.rawclient import RawClient
from tests.web.apps import Answer, read_answer

METHODS = ["GET", "HEAD", "PUT", "PUT", "PUT", "DELETE", "POST", "PATCH", "OPTIONS", "TRACE", "PROPFIND"]

SEGMENTS = [
    *(
        "report.txt",
        "..",
        ".",
        "",
        "%2e%2e",
        "%2e",
        "%2f",
        "%5c",
        "\\",
        "..;",
        "..%00",
        "%00",
        "%",
        "%zz",
        "%u002e",
    ),
    *(
        "%c0%ae%c0%ae",
        "%e0%80%ae",
        "%ff",
        "%fe%ff",
        "%C3%A4",
        "%cc%88",
        "%e2%80%ae",
        "%ed%a0%80",
        "%0d%0aX:%20y",
    ),
    *("%09", "%7f", "%20", "%20x", "x%20", "x.", "con", "aux.txt", "COM%C2%B9", ".incoming-0123456789abcdef"),
    *(
        ".trust-domain",
        ".uploads",
        ".gitignore",
        "~root",
        "*",
        "a" * 255,
        "a" * 256,
        "%41" * 255,
        "ä",
        "\x00",
        "\x7f",
    ),
    *("alice", "client", "secret", "%252e%252e", "%252F", "?", "#", "?..", "a:b", "C:", "file::$DATA", "-rf"),
]
"""Pieces of paths that have fooled somebody once."""

ROOTS = [
    "/files/",
    "/files/",
    "/files/",
    "/files/",
    "/files/",
    "/files",
    "/files//",
    "//files/",
    "/tus/",
    "/tus",
    "/whoami",
    "/crl.pem",
    "/",
    "*",
    "https://x/files/",
]

Fields = dict[str, bytes]

VERSION: Fields = {"Tus-Resumable": b"1.0.0"}
CREATION: Fields = {
    **VERSION,
    "Upload-Length": b"10",
    "Upload-Metadata": b"filename " + base64.b64encode(b"by-tus.txt") + b",type dGV4dA==",
}
PART: Fields = {**VERSION, "Upload-Offset": b"0", "Content-Type": b"application/offset+octet-stream"}

GOOD: Sequence[tuple[str, Fields, bytes]] = (
    ("POST", CREATION, b""),
    ("POST", {**CREATION, "Content-Type": PART["Content-Type"]}, b"01234"),
    ("POST", {**CREATION, "Content-Type": PART["Content-Type"]}, b"0123456789"),
    ("PATCH", PART, b"01234"),
    ("PATCH", {**PART, "Upload-Offset": b"5"}, b"56789"),
    ("PATCH", {**PART, "Upload-Checksum": b"sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="}, b"hello world"),
    ("HEAD", VERSION, b""),
    ("DELETE", VERSION, b""),
    ("GET", {}, b""),
    ("OPTIONS", {}, b""),
)

MORE: Fields = {
    "Upload-Checksum": b"sha256 " + base64.b64encode(bytes(32)),
    "Upload-Defer-Length": b"1",
    "Upload-Concat": b"final;/tus/a /tus/b",
    "X-HTTP-Method-Override": b"DELETE",
    "Range": b"bytes=0-4",
    "If-Match": b'"' + b"a" * 64 + b'"',
    "If-None-Match": b"*",
    "Repr-Digest": b"sha-256=:" + base64.b64encode(bytes(32)) + b":",
    "Content-Digest": b"sha-256=::",
    "Content-Encoding": b"gzip",
    "Content-Range": b"bytes 0-9/10",
    "Expect": b"100-continue",
}


def altered(fields: Fields, chance: random.Random) -> bytes:
    """``fields`` as octets, with up to two of them missing, mangled, doubled or added."""
    lines = list(fields.items())
    for _ in range(chance.choice([0, 1, 1, 2])):
        place = chance.randrange(len(lines) + 1)
        match chance.randrange(4):
            case 0:
                del lines[place : place + 1]
            case 1 if place < len(lines):
                lines[place] = (lines[place][0], mutated(lines[place][1], chance)[:3000])
            case 2:
                lines += lines[place : place + 1]
            case _:
                lines.append(chance.choice(list(MORE.items())))
    return b"".join(b"%s: %s\r\n" % (name.encode(), one_line(value)) for name, value in lines)


def one_line(data: bytes) -> bytes:
    return data.replace(b"\r", b"").replace(b"\n", b"")


class Knocking:
    """Requests of mallory over one connection, as long as the server keeps it."""

    def __init__(self, siege: Siege) -> None:
        self._caller = siege.mallory
        self._context = siege.mallory.context
        self._client: RawClient | None = None

    def ask(self, method: str, target: bytes, fields: bytes = b"", body: bytes = b"0123456789") -> Answer:
        head = method.encode() + b" " + target + b" HTTP/1.1\r\nHost: localhost\r\n" + fields
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        if self._client is None:
            self._client = RawClient(self._caller.port, self._context).handshake()
        self._client.send(head + length + body)
        answer = read_answer(self._client, head_only=method == "HEAD")
        while answer.status == 100:
            answer = read_answer(self._client, head_only=method == "HEAD")
        if answer.headers.get("connection") == "close":
            self.close()
        return answer

    def close(self) -> None:
        if self._client is not None:
            self._client.socket.close()
            self._client = None


def others_files(siege: Siege) -> dict[str, bytes]:
    """All that lies around the server but mallory's own."""
    place = siege.uploads.parent
    paths = [path for path in place.rglob("*") if path.is_file() and "mallory" not in path.parts]
    return {str(path): path.read_bytes() for path in paths if path.suffix not in {".log", ".out"}}


def own_names(siege: Siege) -> list[str]:
    found = (siege.uploads / "client" / "mallory").glob("*")
    return sorted(path.name for path in found if path.name not in {".gitignore", ".uploads"})


def shoot(siege: Siege, rounds: Rounds, shot: Callable[[Knocking, random.Random], Answer]) -> None:
    (siege.uploads / "client" / "alice").mkdir(parents=True, exist_ok=True, mode=0o700)
    (siege.uploads / "client" / "alice" / "secret").write_text("alice's")
    before, knocking = others_files(siege), Knocking(siege)
    try:
        for chance in rounds.play(SAMPLE):
            for _ in range(PER_ROUND):
                answer = shot(knocking, chance)
                assert answer.status < 500, answer
                assert b"alice's" not in answer.body
    finally:
        knocking.close()
    assert others_files(siege) == before
    for name in own_names(siege):
        assert check_file_name(name) == name
    assert siege.mistakes() == []


@in_sample_and_soak
def test_odd_targets_are_answered_and_lead_nowhere(siege: Siege, rounds: Rounds) -> None:
    def shot(knocking: Knocking, chance: random.Random) -> Answer:
        segments = (chance.choice(SEGMENTS) for _ in range(chance.choice([1, 1, 2, 3])))
        target = (chance.choice(ROOTS) + "/".join(segments)).encode("latin-1")
        if chance.random() < 0.3:
            target = mutated(target, chance)
        method = chance.choice(METHODS)
        answer = knocking.ask(method, one_line(target) or b"/")
        if method == "PUT" and answer.status == 201:
            name = unquote_to_bytes(answer.headers["location"].removeprefix("/files/")).decode()
            assert name in own_names(siege)
        return answer

    shoot(siege, rounds, shot)


@in_sample_and_soak
def test_odd_fields_of_tus_are_answered(siege: Siege, rounds: Rounds) -> None:
    known: list[str] = []

    def shot(knocking: Knocking, chance: random.Random) -> Answer:
        method, fields, body = chance.choice(GOOD)
        targets = ["/tus/", f"/tus/{chance.randbytes(16).hex()}"] if chance.random() < 0.1 else known[-3:]
        target = "/tus/" if method == "POST" or not targets else chance.choice(targets)
        if chance.random() < 0.1:
            body = chance.randbytes(chance.choice([0, 1, 11]))
        answer = knocking.ask(method, target.encode(), altered(fields, chance), body)
        if answer.status == 201:
            known.append("/tus/" + answer.headers["location"].rpartition("/")[2])
        return answer

    shoot(siege, rounds, shot)
    assert known


@pytest.mark.slow
@pytest.mark.parametrize("segment", SEGMENTS)
def test_what_has_fooled_somebody_once_names_a_plain_file_or_none(siege: Siege, segment: str) -> None:
    knocking, before = Knocking(siege), others_files(siege)
    answer = knocking.ask("PUT", b"/files/" + segment.encode("latin-1"))
    knocking.close()
    assert answer.status in {200, 201, 400, 404, 405}
    if answer.status < 300:
        assert check_file_name(unquote_to_bytes(answer.headers["location"][7:]).decode())
    assert others_files(siege) == before
