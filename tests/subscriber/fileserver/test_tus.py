"""tus 1.0 over HTTP, in one process: the protocol, section by section, and the rules of all files."""

import asyncio
import base64
import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keystead.subscriber.fileserver import tus
from keystead.subscriber.fileserver.limits import UploadLimits
from keystead.subscriber.fileserver.states import FOLDER
from keystead.wire.files import digest_field
from keystead.wire.problems import MEDIA_TYPE
from keystead.wire.tus import CHUNK_TYPE, EXTENSIONS, Metadata, parse_expires, parse_list
from tests.subscriber.fileserver.callers import in_pieces

SHA = hashlib.sha256(b"hello").digest()
VERSION = {"tus-resumable": "1.0.0"}


def code(answer: Any) -> str:
    assert answer.headers["content-type"] == MEDIA_TYPE
    return str(answer.json()["type"]).removeprefix("urn:keystead:problem:")


def creating(length: int = 5, name: str = "f", **more: str) -> dict[str, str]:
    fields = {"upload-length": str(length), "upload-metadata": Metadata.of_file(name).to_field()}
    return VERSION | fields | {key.replace("_", "-"): value for key, value in more.items()}


def sending(offset: int, **more: str) -> dict[str, str]:
    fields = {"upload-offset": str(offset), "content-type": CHUNK_TYPE}
    return VERSION | fields | {key.replace("_", "-"): value for key, value in more.items()}


def create(server: Any, length: int = 5, name: str = "f", **more: str) -> str:
    answer = server.post("/tus/", headers=creating(length, name, **more))
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def offset_of(server: Any, location: str) -> int:
    answer = server.head(location, headers=VERSION)
    assert answer.status_code == 200
    return int(answer.headers["upload-offset"])


def sha1(octets: bytes) -> str:
    return f"sha1 {base64.b64encode(hashlib.sha1(octets).digest()).decode()}"


def break_off(server: Any, location: str, headers: dict[str, str], octets: bytes) -> None:
    """Send ``octets`` of a longer body, and be gone."""
    messages = [
        {"type": "http.request", "body": octets, "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        assert message["type"] != "http.response.start" or message["status"] == 499

    scope = {
        "type": "http",
        "method": "PATCH",
        "path": location,
        "raw_path": location.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(server(scope, receive, send))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tus, "_BUSY_SECONDS", 0.1)


# ---- core


def test_options_say_what_is_known(server: Any) -> None:
    answer = server.options("/tus/")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert answer.headers["tus-extension"].split(",") == list(EXTENSIONS)
    assert answer.headers["tus-max-size"] == str(16 << 30)
    assert "sha1" in answer.headers["tus-checksum-algorithm"].split(",")


def test_an_upload_in_parts_becomes_a_file_of_the_caller(server: Any) -> None:
    location = create(server)
    assert offset_of(server, location) == 0
    first = server.patch(location, headers=sending(0), content=b"he")
    assert (first.status_code, first.headers["upload-offset"], first.content) == (204, "2", b"")
    assert offset_of(server, location) == 2
    assert server.get("/files/f").status_code == 404
    last = server.patch(location, headers=sending(2), content=b"llo")
    assert (last.status_code, last.headers["upload-offset"]) == (204, "5")
    assert last.headers["repr-digest"] == digest_field(SHA)
    assert last.headers["content-location"] == "/files/f"
    assert server.get("/files/f").content == b"hello"
    assert (server.folder / "f").stat().st_mode & 0o777 == 0o600


def test_of_a_finished_upload_is_still_told(server: Any) -> None:
    location = create(server)
    server.patch(location, headers=sending(0), content=b"hello")
    answer = server.head(location, headers=VERSION)
    assert answer.headers["upload-offset"] == answer.headers["upload-length"] == "5"
    assert answer.headers["repr-digest"] == digest_field(SHA)
    assert answer.headers["cache-control"] == "no-store"
    assert server.patch(location, headers=sending(5), content=b"").status_code == 204
    assert code(server.patch(location, headers=sending(5), content=b"x")) == "beyond-length"
    assert code(server.patch(location, headers=sending(0), content=b"x")) == "offset-conflict"


@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
@pytest.mark.parametrize("version", [{}, {"tus-resumable": "0.2.2"}])
def test_another_version_is_refused_and_ours_is_named(
    server: Any, method: str, version: dict[str, str]
) -> None:
    location = create(server)
    target = "/tus/" if method == "POST" else location
    headers = {**sending(0), **creating()}
    del headers["tus-resumable"]
    answer = asyncio.run(server.ask(method, target, headers=headers | version))
    assert answer.status_code == 412
    assert answer.headers["tus-version"] == answer.headers["tus-resumable"] == "1.0.0"
    assert len(server.get("/tus/").json()) == 1


def test_every_answer_names_the_version(server: Any) -> None:
    location = create(server)
    for answer in (
        server.get("/tus/"),
        server.get(location),
        server.head("/tus/" + "0" * 32, headers=VERSION),
        server.patch(location, headers=sending(3), content=b"x"),
    ):
        assert answer.headers["tus-resumable"] == "1.0.0"


@pytest.mark.parametrize("offset", ["1", "-1", "", "0x0", "9" * 20])
def test_a_part_that_begins_elsewhere_is_refused(server: Any, offset: str) -> None:
    location = create(server)
    answer = server.patch(location, headers=sending(0) | {"upload-offset": offset}, content=b"he")
    assert answer.status_code == (409 if offset == "1" else 400)
    assert offset_of(server, location) == 0


def test_a_part_of_another_type_is_refused(server: Any) -> None:
    location = create(server)
    answer = server.patch(location, headers=sending(0, content_type="text/plain"), content=b"he")
    assert (answer.status_code, code(answer)) == (415, "chunk-type")


@pytest.mark.parametrize("in_chunks", [False, True])
def test_more_than_was_announced_is_refused(server: Any, in_chunks: bool) -> None:
    location = create(server)
    content: Any = in_pieces(b"hello", b"!") if in_chunks else b"hello!"
    answer = server.patch(location, headers=sending(0), content=content)
    assert (answer.status_code, code(answer)) == (413, "beyond-length")
    assert server.names() == [FOLDER]


def test_a_client_that_cannot_patch_says_so_in_a_field(server: Any) -> None:
    location = create(server)
    headers = sending(0, x_http_method_override="PATCH")
    assert server.post(location, headers=headers, content=b"hello").status_code == 204
    assert server.get("/files/f").content == b"hello"


@pytest.mark.parametrize("target", ["/tus/x", "/tus/" + "A" * 32, "/tus/../files/f", "/tus/%30" + "0" * 31])
def test_what_is_no_upload_is_not_there(server: Any, target: str) -> None:
    assert server.head(target, headers=VERSION).status_code == 404


def test_a_method_that_is_not_done_is_a_problem(server: Any) -> None:
    answer = server.put("/tus/", content=b"x")
    assert (answer.status_code, code(answer)) == (405, "method")
    assert answer.headers["allow"] == "OPTIONS, POST, GET"


# ---- what is kept of a body that breaks off


def test_of_a_body_that_breaks_off_all_that_came_is_kept(server: Any) -> None:
    location = create(server)
    break_off(server, location, sending(0, content_length="5"), b"hel")
    assert offset_of(server, location) == 3
    assert server.patch(location, headers=sending(3), content=b"lo").headers["repr-digest"] == digest_field(
        SHA
    )


def test_a_client_makes_sure_that_it_goes_on_with_its_own_file(server: Any) -> None:
    location = create(server)
    server.patch(location, headers=sending(0), content=b"hel")
    other = sending(3, if_match=f'"{hashlib.sha256(b"xyz").hexdigest()}"')
    refused = server.patch(location, headers=other, content=b"lo")
    assert (refused.status_code, code(refused)) == (412, "precondition-failed")
    assert offset_of(server, location) == 3
    own = sending(3, if_match=f'"{hashlib.sha256(b"hel").hexdigest()}"')
    assert server.patch(location, headers=own, content=b"lo").headers["repr-digest"] == digest_field(SHA)


def test_a_server_killed_before_a_whole_upload_was_visible_makes_it_good(server: Any) -> None:
    location = create(server)
    (data,) = (server.folder / FOLDER).glob("*.data")
    data.write_bytes(b"hello")
    assert offset_of(server, location) == 5
    assert server.get("/files/f").content == b"hello"


# ---- creation, with and without upload


def test_an_empty_file_is_there_at_once(server: Any) -> None:
    answer = server.post("/tus/", headers=creating(0))
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, "0")
    assert server.get("/files/f").content == b""


@pytest.mark.parametrize("content", [b"hello", b"hel", b""])
def test_an_upload_may_begin_with_its_creation(server: Any, content: bytes) -> None:
    answer = server.post("/tus/", headers=creating() | {"content-type": CHUNK_TYPE}, content=content)
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, str(len(content)))
    assert offset_of(server, answer.headers["location"]) == len(content)
    assert server.get("/files/f").status_code == (200 if len(content) == 5 else 404)


def test_a_body_of_a_creation_that_does_not_fit_leaves_nothing(server: Any) -> None:
    chunk = {"content-type": CHUNK_TYPE}
    assert code(server.post("/tus/", headers=creating(2) | chunk, content=b"hello")) == "beyond-length"
    too_long = server.post("/tus/", headers=creating(2) | chunk, content=in_pieces(b"hello"))
    assert code(too_long) == "beyond-length"
    wrong = server.post("/tus/", headers=creating(upload_checksum=sha1(b"x")) | chunk, content=b"hello")
    assert wrong.status_code == 460
    assert code(server.post("/tus/", headers=creating(), content=b"hello")) == "chunk-type"
    assert server.get("/tus/").json() == []
    assert not list((server.folder / FOLDER).glob("[!.]*"))


@pytest.mark.parametrize(
    "fields",
    [
        {"upload-length": "-5"},
        {"upload-length": "5", "upload-metadata": ""},
        {"upload-length": "5", "upload-metadata": "filename"},
        {"upload-length": "5", "upload-metadata": "filename Li4vZXZpbA=="},
        {"upload-length": "5", "upload-metadata": "filename ???"},
        {"upload-metadata": "filename Zg==", "upload-defer-length": "1"},
        {"upload-length": "5", "upload-metadata": "filename Zg==", "upload-concat": "partial"},
        {"upload-length": "5", "upload-metadata": "filename Zg==", "repr-digest": "md5=:AA==:"},
    ],
)
def test_a_creation_that_cannot_be_understood_is_refused(server: Any, fields: dict[str, str]) -> None:
    answer = server.post("/tus/", headers=VERSION | fields)
    assert answer.status_code == 400
    assert code(answer) in {"bad-tus-field", "bad-file-name", "bad-digest"}
    assert server.names() == []


def test_a_digest_sent_at_creation_is_verified_before_the_file_is_visible(server: Any) -> None:
    location = create(server, repr_digest=digest_field(SHA))
    answer = server.patch(location, headers=sending(0), content=b"jello")
    assert (answer.status_code, code(answer)) == (400, "digest-mismatch")
    assert server.get("/files/f").status_code == 404
    assert server.head(location, headers=VERSION).status_code == 404
    location = create(server, repr_digest=digest_field(SHA))
    assert server.patch(location, headers=sending(0), content=b"hello").status_code == 204


# ---- checksum


@pytest.mark.parametrize(
    "fields",
    [
        lambda octets: {"upload-checksum": sha1(octets)},
        lambda octets: {
            "upload-checksum": f"sha256 {base64.b64encode(hashlib.sha256(octets).digest()).decode()}"
        },
        lambda octets: {"content-digest": digest_field(hashlib.sha256(octets).digest())},
        lambda octets: {"repr-digest": digest_field(hashlib.sha256(octets).digest())},
    ],
)
def test_a_part_with_a_wrong_checksum_never_came(
    server: Any, fields: Callable[[bytes], dict[str, str]]
) -> None:
    location = create(server)
    server.patch(location, headers=sending(0), content=b"he")
    wrong = server.patch(location, headers=sending(2) | fields(b"llo"), content=b"l1o")
    assert (wrong.status_code, code(wrong)) == (460, "checksum-mismatch")
    assert offset_of(server, location) == 2
    right = server.patch(location, headers=sending(2) | fields(b"llo"), content=b"llo")
    assert right.headers["repr-digest"] == digest_field(SHA)


def test_a_part_with_a_checksum_that_breaks_off_never_came(server: Any) -> None:
    location = create(server)
    break_off(server, location, sending(0, upload_checksum=sha1(b"hello"), content_length="5"), b"hel")
    assert offset_of(server, location) == 0
    assert server.patch(location, headers=sending(0), content=b"hello").status_code == 204
    assert server.get("/files/f").content == b"hello"


def test_an_unknown_checksum_is_refused(server: Any) -> None:
    location = create(server)
    answer = server.patch(location, headers=sending(0, upload_checksum="crc32 AAAA"), content=b"he")
    assert (answer.status_code, code(answer)) == (400, "bad-checksum")
    assert offset_of(server, location) == 0


# ---- expiration


def test_it_is_said_when_an_upload_expires(serve: Any) -> None:
    server = serve(UploadLimits(spare=0, expiry=timedelta(hours=2)))
    answer = server.post("/tus/", headers=creating())
    left = parse_expires(answer.headers["upload-expires"]) - datetime.now(UTC)
    assert timedelta(hours=1, minutes=59) < left <= timedelta(hours=2)
    assert (
        "upload-expires" in server.patch(answer.headers["location"], headers=sending(0), content=b"h").headers
    )


def test_an_expired_upload_is_not_there(server: Any) -> None:
    location = create(server)
    for path in (server.folder / FOLDER).glob("[!.]*"):
        os.utime(path, (0, 0))
    assert code(server.patch(location, headers=sending(0), content=b"hello")) == "no-such-upload"
    assert server.get("/tus/").json() == []


# ---- termination


def test_a_deleted_upload_is_gone(server: Any) -> None:
    location = create(server)
    server.patch(location, headers=sending(0), content=b"he")
    assert server.delete(location, headers=VERSION).status_code == 204
    assert server.head(location, headers=VERSION).status_code == 404
    assert server.delete(location, headers=VERSION).status_code == 404
    assert not list((server.folder / FOLDER).glob("[!.]*"))


def test_deleting_a_finished_upload_leaves_its_file(server: Any) -> None:
    location = create(server)
    server.patch(location, headers=sending(0), content=b"hello")
    assert server.delete(location, headers=VERSION).status_code == 204
    assert server.head(location, headers=VERSION).status_code == 404
    assert server.get("/files/f").content == b"hello"


# ---- who may what


@pytest.mark.parametrize("who", [("bob", "client"), ("alice", "operator")])
def test_another_identity_finds_no_upload(server: Any, who: tuple[str, str]) -> None:
    location = create(server)
    other = server.as_(*who)
    assert other.head(location, headers=VERSION).status_code == 404
    assert code(other.patch(location, headers=sending(0), content=b"hello")) == "no-such-upload"
    assert other.delete(location, headers=VERSION).status_code == 404
    assert other.get("/tus/").json() == []
    assert offset_of(server, location) == 0


@pytest.mark.usefixtures("impatient")
def test_one_request_at_a_time_sends_to_an_upload(server: Any) -> None:
    location = create(server)

    async def two_at_once() -> Any:
        first_began, second_was_answered = asyncio.Event(), asyncio.Event()

        async def slowly() -> Any:
            yield b"he"
            first_began.set()
            await second_was_answered.wait()
            yield b"llo"

        first = asyncio.create_task(server.ask("PATCH", location, headers=sending(0), content=slowly()))
        await first_began.wait()
        refused = [
            await server.ask("PATCH", location, headers=sending(0), content=b"xx"),
            await server.ask("DELETE", location, headers=VERSION),
        ]
        (pending,) = parse_list((await server.ask("GET", "/tus/")).content)
        second_was_answered.set()
        return await first, refused, pending

    first, refused, pending = asyncio.run(two_at_once())
    assert [(answer.status_code, code(answer)) for answer in refused] == [(423, "upload-busy")] * 2
    assert pending.is_busy
    assert first.headers["repr-digest"] == digest_field(SHA)


def test_what_is_not_finished_is_listed(server: Any) -> None:
    location = create(server, name="ü.bin")
    server.patch(location, headers=sending(0), content=b"he")
    (pending,) = parse_list(server.get("/tus/").content)
    assert (f"/tus/{pending.id}", pending.name, pending.length, pending.offset) == (location, "ü.bin", 5, 2)
    assert not pending.is_busy


# ---- limits


def test_a_file_that_is_too_large_is_not_begun(serve: Any) -> None:
    server = serve(UploadLimits(file=4, spare=0))
    answer = server.post("/tus/", headers=creating(5))
    assert (answer.status_code, code(answer)) == (413, "too-large")
    assert server.get("/tus/").json() == []


def test_a_file_is_not_begun_or_gone_on_with_where_the_disk_is_full(serve: Any) -> None:
    assert code(serve(UploadLimits(spare=1 << 60)).post("/tus/", headers=creating())) == "disk-full"
    location = create(serve(UploadLimits(spare=0)))
    full = serve(UploadLimits(spare=1 << 60))
    answer = full.patch(location, headers=sending(0), content=b"hello")
    assert (answer.status_code, code(answer)) == (507, "disk-full")


def test_what_an_unfinished_upload_will_take_counts_for_the_quota(serve: Any) -> None:
    server = serve(UploadLimits(quota=8, spare=0))
    location = create(server, 5)
    for answer in (server.post("/tus/", headers=creating(4, "g")), server.put("/files/g", content=b"four")):
        assert (answer.status_code, code(answer)) == (507, "quota-used-up")
    assert server.patch(location, headers=sending(0), content=b"hello").status_code == 204
    assert server.put("/files/g", content=b"3rd").status_code == 201


def test_there_is_an_end_to_unfinished_uploads(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from keystead.subscriber.fileserver import resumable

    monkeypatch.setattr(resumable, "MAX_UPLOADS", 2)
    for _ in range(5):
        server.patch(create(server), headers=sending(0), content=b"hello")
    create(server), create(server)
    answer = server.post("/tus/", headers=creating())
    assert (answer.status_code, code(answer)) == (507, "too-many-uploads")


def test_a_large_upload_in_many_parts_comes_back_whole(server: Any, tmp_path: Path) -> None:
    content = os.urandom(3_000_001)
    location = create(server, len(content))
    for offset in range(0, len(content), 700_000):
        part = content[offset : offset + 700_000]
        answer = server.patch(location, headers=sending(offset), content=part)
    assert answer.headers["repr-digest"] == digest_field(hashlib.sha256(content).digest())
    assert server.get("/files/f").content == content


def test_what_came_in_one_part_waits_for_nobody_who_reads_a_file_again(
    serve: Callable[[UploadLimits], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tus, "_REREADINGS", 0)  # all turns are taken, for good
    server = serve(UploadLimits(spare=0))
    asked = server.ask("POST", "/tus/", headers=creating(content_type=CHUNK_TYPE), content=b"hello")
    assert asyncio.run(asyncio.wait_for(asked, 10)).status_code == 201
    assert server.get("/files/f").content == b"hello"
