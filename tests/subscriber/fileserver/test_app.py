"""The file server's contract over HTTP, in one process: what is answered to what."""

import hashlib
import json
from typing import Any

import pytest

from keystead.wire.files import digest_field
from keystead.wire.problems import MEDIA_TYPE

SHA = hashlib.sha256(b"hello").digest()
ETAG = f'"{SHA.hex()}"'


def code(answer: Any) -> str:
    assert answer.headers["content-type"] == MEDIA_TYPE
    return str(answer.json()["type"]).removeprefix("urn:keystead:problem:")


def test_an_upload_is_answered_with_name_size_and_digest(server: Any) -> None:
    answer = server.put("/files/a%20b.txt", content=b"hello")
    assert answer.status_code == 201
    assert answer.json() == {"name": "a b.txt", "size": 5, "sha256": SHA.hex()}
    assert answer.headers["repr-digest"] == digest_field(SHA)
    assert answer.headers["etag"] == ETAG
    assert answer.headers["location"] == "/files/a%20b.txt"
    assert (server.folder / "a b.txt").read_bytes() == b"hello"


def test_what_was_sent_comes_back(server: Any) -> None:
    server.put("/files/f", content=b"hello")
    answer = server.get("/files/f")
    assert (answer.status_code, answer.content) == (200, b"hello")
    assert answer.headers["etag"] == ETAG
    assert answer.headers["repr-digest"] == digest_field(SHA)
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_head_says_the_same_without_the_body(server: Any) -> None:
    server.put("/files/f", content=b"hello")
    answer = server.head("/files/f", headers={"range": "bytes=0-1"})
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "5")


def test_a_file_of_many_blocks_comes_back_whole(server: Any) -> None:
    content = bytes(range(256)) * 5000
    assert server.put("/files/f", content=content).json()["sha256"] == hashlib.sha256(content).hexdigest()
    assert server.get("/files/f").content == content


def test_an_empty_file_is_a_file(server: Any) -> None:
    assert server.put("/files/f", content=b"").json()["size"] == 0
    assert server.get("/files/f", headers={"range": "bytes=-5"}).content == b""


def test_a_second_upload_replaces_the_first(server: Any) -> None:
    server.put("/files/f", content=b"old")
    assert server.put("/files/f", content=b"hello").status_code == 200
    assert server.get("/files/f").content == b"hello"
    assert server.names() == ["f"]


def test_the_list_names_each_file(server: Any) -> None:
    server.put("/files/b", content=b"hello")
    server.put("/files/a", content=b"")
    entries = server.get("/files/").json()
    assert [entry["name"] for entry in entries] == ["a", "b"]
    assert entries[1]["size"] == 5
    assert entries[1]["sha256"] == SHA.hex()
    assert entries[1]["modified"].endswith("Z")


def test_nobody_sees_anothers_files(server: Any) -> None:
    server.put("/files/f", content=b"hello")
    for other in (server.as_("bob"), server.as_("alice", "operator")):
        assert other.get("/files/").json() == []
        assert other.get("/files/f").status_code == 404
        assert other.delete("/files/f").status_code == 404
        other.put("/files/f", content=b"mine")
    assert server.get("/files/f").content == b"hello"


def test_a_deleted_file_is_gone(server: Any) -> None:
    server.put("/files/f", content=b"hello")
    assert server.delete("/files/f").status_code == 204
    assert code(server.get("/files/f")) == "no-such-file"
    assert code(server.delete("/files/f")) == "no-such-file"


@pytest.mark.parametrize(
    "target",
    [
        "/files/",
        "/files/.hidden",
        "/files/a%2Fb",
        "/files/a/b",
        "/files/%2e%2e",
        "/files/a%00",
        "/files/con",
        "/files/%ff",
    ],
)
def test_a_bad_name_is_a_problem_that_says_why(server: Any, target: str) -> None:
    answer = server.put(target, content=b"hello")
    assert answer.status_code == 400
    assert code(answer) == "bad-file-name"
    assert answer.json()["detail"]
    assert answer.json()["mend"]
    assert server.names() == []


@pytest.mark.parametrize("target", ["/", "/files", "/other", "/files%2Ff", "/%66iles/f"])
def test_what_is_not_there_is_a_problem(server: Any, target: str) -> None:
    answer = server.get(target)
    assert answer.status_code == 404
    assert code(answer) == "no-such-path"


def test_a_method_that_is_not_done_is_a_problem_that_names_those_that_are(server: Any) -> None:
    answer = server.post("/files/f", content=b"hello")
    assert answer.status_code == 405
    assert code(answer) == "method"
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "PUT", "DELETE"}


def test_a_length_with_more_zeros_than_python_converts_is_a_length(server: Any) -> None:
    headers = {"content-length": "0" * 5_000 + "5"}
    assert server.put("/files/f", content=b"hello", headers=headers).status_code == 201


@pytest.mark.parametrize("field", ["repr-digest", "content-digest"])
def test_a_digest_sent_along_is_verified(server: Any, field: str) -> None:
    assert server.put("/files/f", content=b"hello", headers={field: digest_field(SHA)}).status_code == 201
    answer = server.put("/files/g", content=b"jello", headers={field: digest_field(SHA)})
    assert answer.status_code == 400
    assert code(answer) == "digest-mismatch"
    assert SHA.hex() in answer.json()["detail"]
    assert server.names() == ["f"]


def test_a_digest_that_cannot_be_verified_is_refused(server: Any) -> None:
    assert (
        code(server.put("/files/f", content=b"hello", headers={"repr-digest": "md5=:AA==:"})) == "bad-digest"
    )


def test_an_encoded_body_is_refused(server: Any) -> None:
    answer = server.put("/files/f", content=b"hello", headers={"content-encoding": "gzip"})
    assert (answer.status_code, code(answer)) == (415, "content-encoding")


def test_a_part_of_a_file_is_refused(server: Any) -> None:
    answer = server.put("/files/f", content=b"hello", headers={"content-range": "bytes 0-4/10"})
    assert (answer.status_code, code(answer)) == (400, "partial-upload")


def test_a_known_file_is_not_sent_again(server: Any) -> None:
    server.put("/files/f", content=b"hello")
    assert server.get("/files/f", headers={"if-none-match": f'"x", W/{ETAG}'}).status_code == 304
    assert server.get("/files/f", headers={"if-none-match": '"x"'}).status_code == 200


def test_a_file_is_not_replaced_where_the_sender_forbids_it(server: Any) -> None:
    server.put("/files/f", content=b"hello")
    answer = server.put("/files/f", content=b"new", headers={"if-none-match": "*"})
    assert (answer.status_code, code(answer)) == (412, "precondition-failed")
    assert server.put("/files/f", content=b"new", headers={"if-match": '"other"'}).status_code == 412
    assert server.delete("/files/f", headers={"if-match": f"W/{ETAG}"}).status_code == 412
    assert server.get("/files/f").content == b"hello"
    assert server.put("/files/f", content=b"new", headers={"if-match": ETAG}).status_code == 200
    assert server.put("/files/g", content=b"new", headers={"if-none-match": "*"}).status_code == 201


def test_a_range_is_answered_with_that_part(server: Any) -> None:
    server.put("/files/f", content=b"hello")
    answer = server.get("/files/f", headers={"range": "bytes=1-2"})
    assert (answer.status_code, answer.content) == (206, b"el")
    assert answer.headers["content-range"] == "bytes 1-2/5"
    assert answer.headers["content-length"] == "2"


def test_a_range_beyond_the_end_is_a_problem(server: Any) -> None:
    server.put("/files/f", content=b"hello")
    answer = server.get("/files/f", headers={"range": "bytes=5-"})
    assert (answer.status_code, code(answer)) == (416, "range-not-satisfiable")
    assert answer.headers["content-range"] == "bytes */5"


def test_a_range_of_a_file_that_has_changed_gives_the_whole(server: Any) -> None:
    server.put("/files/f", content=b"hello")
    for if_range, status in (
        (ETAG, 206),
        (f"W/{ETAG}", 200),
        ('"old"', 200),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 200),
    ):
        assert (
            server.get("/files/f", headers={"range": "bytes=0-0", "if-range": if_range}).status_code == status
        )


def test_who_one_is_comes_from_the_peer(server: Any) -> None:
    assert server.get("/whoami").json() == {
        "identity": "spiffe://dev.example.internal/client/alice",
        "environment": "dev",
        "trust_domain": "dev.example.internal",
        "profile": "client",
        "name": "alice",
        "serial": "1f",
        "not_after": "2030-01-01T00:00:00Z",
    }


def test_the_revocation_lists_in_force_are_handed_out_once(server: Any) -> None:
    answer = server.get("/crl.pem")
    assert answer.content.startswith(b"-----BEGIN X509 CRL-----")
    assert server.get("/crl.pem", headers={"if-none-match": answer.headers["etag"]}).status_code == 304


def test_a_problem_is_json_of_rfc_9457(server: Any) -> None:
    answer = server.get("/files/f")
    assert json.loads(answer.content)["status"] == answer.status_code == 404
