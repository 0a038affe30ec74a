"""What is not taken any more: too large, beyond the quota, no room on the disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keystead.errors import Unavailable
from keystead.subscriber.fileserver.limits import Ledger, UploadLimits
from tests.subscriber.fileserver.callers import in_pieces

Serve = Callable[[UploadLimits], Any]


def code(answer: Any) -> str:
    return str(answer.json()["type"]).removeprefix("urn:keystead:problem:")


def test_a_file_that_says_it_is_too_large_is_refused_before_it_is_read(serve: Serve) -> None:
    server = serve(UploadLimits(file=10, spare=0))

    was_read = []

    async def body() -> Any:
        was_read.append(True)
        yield b"x" * 11

    answer = server.put("/files/f", content=body(), headers={"content-length": "11"})
    assert not was_read
    assert (answer.status_code, code(answer)) == (413, "too-large")
    assert server.names() == []


def test_a_file_that_turns_out_too_large_is_refused_and_leaves_nothing(serve: Serve) -> None:
    server = serve(UploadLimits(file=600_000, spare=0))
    answer = server.put("/files/f", content=in_pieces(*[b"x" * 100_000] * 7))
    assert (answer.status_code, code(answer)) == (413, "too-large")
    assert server.names() == []
    assert server.put("/files/f", content=in_pieces(*[b"x" * 100_000] * 6)).status_code == 201


@pytest.mark.parametrize("announced", [True, False])
def test_the_quota_holds_for_all_files_of_an_identity(serve: Serve, announced: bool) -> None:
    server = serve(UploadLimits(quota=10, spare=0))
    body = (lambda data: data) if announced else in_pieces
    assert server.put("/files/f", content=body(b"123456")).status_code == 201
    answer = server.put("/files/g", content=body(b"12345"))
    assert (answer.status_code, code(answer)) == (507, "quota-used-up")
    assert server.put("/files/g", content=body(b"1234")).status_code == 201
    assert server.as_("bob").put("/files/g", content=body(b"1234567890")).status_code == 201
    server.delete("/files/f")
    assert server.put("/files/h", content=body(b"123456")).status_code == 201


def test_two_uploads_side_by_side_cannot_exceed_the_quota_together(tmp_path: Path) -> None:
    ledger = Ledger(UploadLimits(quota=10, spare=0))
    with ledger.admission(tmp_path) as one, ledger.admission(tmp_path) as other:
        one.expect(6)
        with pytest.raises(Unavailable):
            other.expect(6)
        other.expect(4)
    with ledger.admission(tmp_path) as after:
        after.expect(10)


def test_uploads_at_several_processes_cannot_exceed_the_quota_together(tmp_path: Path) -> None:
    limits = UploadLimits(quota=10, spare=0)
    with Ledger(limits).admission(tmp_path) as one, Ledger(limits).admission(tmp_path) as other:
        one.grow(6)
        with pytest.raises(Unavailable) as caught:
            other.grow(6)
        assert caught.value.code == "quota-used-up"
    with Ledger(limits).admission(tmp_path) as after:
        after.expect(10)
    assert list(tmp_path.glob(".promised-*")) == []


def test_what_a_killed_process_was_promised_is_free(tmp_path: Path) -> None:
    left = tmp_path / ".promised-0123456789abcdef"
    left.write_text("9")
    with Ledger(UploadLimits(quota=10, spare=0)).admission(tmp_path) as admission:
        admission.expect(10)
    assert not left.exists()


def test_a_promise_grows_with_the_upload(tmp_path: Path) -> None:
    quota = 40 << 20
    ledger = Ledger(UploadLimits(quota=quota, spare=0))
    with ledger.admission(tmp_path) as one, ledger.admission(tmp_path) as other:
        for _ in range(3):
            one.grow(8 << 20)
        assert one.promised == 32 << 20
        other.grow(8 << 20)
        assert one.promised + other.promised == quota
        with pytest.raises(Unavailable):
            other.grow(1)


def test_a_file_that_would_fill_the_disk_is_refused_before_it_is_read(serve: Serve) -> None:
    server = serve(UploadLimits(spare=1 << 60))
    answer = server.put("/files/f", content=b"hello")
    assert (answer.status_code, code(answer)) == (507, "disk-full")
    assert server.names() == []


def test_a_disk_that_fills_meanwhile_stops_the_upload(tmp_path: Path) -> None:
    free = iter([100 << 20, 0])
    ledger = Ledger(UploadLimits(spare=1), free=lambda _: next(free))
    with ledger.admission(tmp_path) as admission:
        admission.expect(0)
        admission.grow(1 << 20)
        with pytest.raises(Unavailable) as caught:
            admission.grow(16 << 20)
    assert caught.value.code == "disk-full"
