"""Uploads on the disk: shared by processes, left behind by killed ones, swept when nobody goes on."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keystead.errors import BadInput, NotThere
from keystead.pki.names import Identity
from keystead.subscriber.fileserver.conditions import Conditions
from keystead.subscriber.fileserver.limits import used_octets
from keystead.subscriber.fileserver.resumable import Held, Uploads, sweep_all
from keystead.subscriber.fileserver.shelf import Shelf, open_store
from keystead.subscriber.fileserver.states import FOLDER, State
from keystead.subscriber.fileserver.sweeping import sweeping
from keystead.wire.tus import Checksum, Metadata
from tests.subscriber.fileserver.callers import DOMAIN

DAY = timedelta(days=1)
SHA = hashlib.sha256(b"hello").digest()
CHECK = Checksum("sha256", SHA)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = open_store(tmp_path / "uploads", DOMAIN).shelf(Identity(DOMAIN, "client", "alice"))
    shelf.prepare()
    return shelf


@pytest.fixture
def uploads(shelf: Shelf) -> Uploads:
    return Uploads(shelf.folder, DAY)


def begun(uploads: Uploads, *blocks: bytes, digests: tuple[bytes, ...] = ()) -> str:
    held = uploads.create(State(5, Metadata.of_file("f"), digests))
    held.file.write(blocks)
    held.close()
    return held.id


def taken(uploads: Uploads, upload_id: str) -> Held:
    held = uploads.take(upload_id)
    assert held is not None
    return held


def in_another_process(shelf: Shelf, code: str) -> subprocess.Popen[str]:
    """Runs ``code`` with ``uploads``, and then waits; to be killed."""
    setting = (
        "import sys; from datetime import timedelta; from pathlib import Path;"
        "from keystead.subscriber.fileserver.resumable import Uploads;"
        "from keystead.wire.tus import Checksum;"
        "uploads = Uploads(Path(sys.argv[1]), timedelta(days=1));"
    )
    words: list[str | Path] = [
        sys.executable,
        "-c",
        f"{setting}{code}; print('ready', flush=True); sys.stdin.read()",
        shelf.folder,
    ]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
def test_what_another_process_has_nobody_else_changes_until_it_is_killed(
    shelf: Shelf, uploads: Uploads
) -> None:
    upload_id = begun(uploads, b"he")
    with in_another_process(shelf, f"held = uploads.take({upload_id!r}); held.file.write([b'l'])") as other:
        assert uploads.take(upload_id) is None
        assert [pending.is_busy for pending in uploads.pending()] == [True]
        other.kill()
    with_the_rest = taken(uploads, upload_id)
    assert with_the_rest.file.size == 3
    with_the_rest.close()


@pytest.mark.slow
def test_a_checked_part_of_a_killed_process_never_came(shelf: Shelf, uploads: Uploads) -> None:
    upload_id = begun(uploads, b"he")
    checked = f"held.begin_checked([Checksum('sha256', {SHA!r})])"
    code = f"held = uploads.take({upload_id!r}); {checked}; held.file.write([b'xx'])"
    with in_another_process(shelf, code) as other:
        assert uploads.find(upload_id).offset == 2
        other.kill()
    assert uploads.find(upload_id).offset == 2
    held = taken(uploads, upload_id)
    held.file.write([b"llo"])
    held.keep(shelf)
    assert (shelf.folder / "f").read_bytes() == b"hello"


def test_what_is_not_checked_to_its_end_goes(uploads: Uploads) -> None:
    upload_id = begun(uploads, b"he")
    held = taken(uploads, upload_id)
    held.begin_checked([CHECK])
    held.file.write([b"xx"])
    held.close()
    assert uploads.find(upload_id).offset == 2


def test_a_finished_upload_is_a_file_and_remembered(shelf: Shelf, uploads: Uploads) -> None:
    upload_id = begun(uploads, b"hello")
    held = taken(uploads, upload_id)
    held.keep(shelf)
    held.close()
    found = uploads.find(upload_id)
    assert found.is_kept
    assert (found.offset, found.state.kept) == (5, SHA)
    assert uploads.take(upload_id) is None
    assert list(uploads.pending()) == []
    assert shelf.open("f").entry.sha256 == SHA


def test_a_kill_between_the_note_and_the_rename_is_made_good(
    shelf: Shelf, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = begun(uploads, b"hello")
    held = taken(uploads, upload_id)

    def killed(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shelf, "keep", killed)
        held.keep(shelf)
    held.close()
    found = uploads.find(upload_id)
    assert (found.is_whole, found.is_kept) == (True, False)
    assert used_octets(shelf.folder) == 5  # of a quota, all the while
    again = taken(uploads, upload_id)
    again.keep(shelf)
    again.close()
    assert uploads.find(upload_id).is_kept


def test_what_a_crash_of_the_machine_has_mangled_is_not_kept(shelf: Shelf, uploads: Uploads) -> None:
    upload_id = begun(uploads, b"hello", digests=(SHA,))
    (data,) = (shelf.folder / FOLDER).glob("*.data")
    data.write_bytes(b"\0" * 5)
    with pytest.raises(BadInput):
        taken(uploads, upload_id).keep(shelf)
    with pytest.raises(NotThere):
        uploads.find(upload_id)
    assert not (shelf.folder / "f").exists()


def test_a_waiting_request_does_not_write_into_the_finished_file(shelf: Shelf, uploads: Uploads) -> None:
    upload_id = begun(uploads, b"hello")
    held = taken(uploads, upload_id)
    held.keep(shelf)
    assert uploads.take(upload_id) is None
    held.close()
    assert uploads.take(upload_id) is None


def test_the_prefix_that_is_verified_is_not_read_again(shelf: Shelf, uploads: Uploads) -> None:
    upload_id = begun(uploads, b"he")
    held = taken(uploads, upload_id)
    held.check_prefix(Conditions(if_match=f'"{hashlib.sha256(b"he").hexdigest()}"'))
    os.pwrite(held.file.descriptor, b"XX", 0)
    held.file.write([b"llo"])
    assert held.file.digest() == SHA
    held.close()


def test_a_state_that_cannot_be_read_is_none(shelf: Shelf, uploads: Uploads) -> None:
    upload_id = begun(uploads, b"he")
    (state,) = (shelf.folder / FOLDER).glob("*.json")
    for text in (b"", b"{}", b"[]", b"\xff", b'{"length": 5}', b"x" * 100_000):
        state.write_bytes(text)
        with pytest.raises(NotThere):
            uploads.find(upload_id)
        assert uploads.take(upload_id) is None
        assert list(uploads.pending()) == []


def test_many_checksums_of_one_body_cost_as_much_as_one(uploads: Uploads) -> None:
    held = taken(uploads, begun(uploads))
    held.begin_checked([CHECK] * 500)
    assert list(held.file.also) == ["sha256"]
    held.file.write([b"hello"])
    held.end_checked([CHECK] * 500)
    held.close()


def test_each_of_several_checksums_must_fit(uploads: Uploads) -> None:
    held = taken(uploads, begun(uploads))
    both = [CHECK, Checksum("sha256", bytes(32))]
    held.begin_checked(both)
    held.file.write([b"hello"])
    with pytest.raises(BadInput, match="did not arrive as it was sent"):
        held.end_checked(both)
    held.close()


# ---- sweeping


def age(shelf: Shelf, span: timedelta, pattern: str = "[!.]*") -> None:
    moment = (datetime.now(UTC) - span).timestamp()
    for path in (shelf.folder / FOLDER).glob(pattern):
        os.utime(path, (moment, moment))


def left(shelf: Shelf) -> list[str]:
    return sorted(path.suffix for path in (shelf.folder / FOLDER).glob("[!.]*"))


def test_the_expired_are_swept_and_the_others_spared(shelf: Shelf, uploads: Uploads) -> None:
    begun(uploads, b"he")
    assert sweep_all(shelf.folder.parents[1], DAY) == 0
    age(shelf, 2 * DAY)
    newer = begun(uploads)
    assert sweep_all(shelf.folder.parents[1], DAY) == 1
    assert [pending.id for pending in uploads.pending()] == [newer]
    assert left(shelf) == [".data", ".json"]


def test_the_last_progress_counts_and_not_the_beginning(shelf: Shelf, uploads: Uploads) -> None:
    begun(uploads, b"he")
    age(shelf, 2 * DAY, "*.json")
    assert uploads.sweep() == 0
    assert len(list(uploads.pending())) == 1


def test_what_is_being_sent_is_not_swept(shelf: Shelf, uploads: Uploads) -> None:
    held = taken(uploads, begun(uploads, b"he"))
    age(shelf, 2 * DAY)
    assert uploads.sweep() == 0
    held.close()
    assert uploads.sweep() == 1


def test_what_gets_on_while_a_sweep_looks_at_it_is_not_swept(shelf: Shelf, uploads: Uploads) -> None:
    upload_id = begun(uploads, b"he")
    age(shelf, 2 * DAY)
    looked: list[str] = []

    def clock() -> datetime:
        if not looked:
            held = taken(uploads, upload_id)
            held.file.write([b"ll"])
            held.close()
        looked.append(upload_id)
        return datetime.now(UTC)

    assert Uploads(shelf.folder, DAY, clock).sweep() == 0
    assert looked
    assert uploads.find(upload_id).offset == 4


def test_octets_and_states_without_each_other_are_swept(shelf: Shelf, uploads: Uploads) -> None:
    for pattern in ("*.json", "*.data"):
        begun(uploads, b"he")
        next((shelf.folder / FOLDER).glob(pattern)).unlink()
        age(shelf, 2 * DAY)
        assert uploads.sweep() == 1
        assert left(shelf) == []


def test_one_that_cannot_be_removed_keeps_no_other(shelf: Shelf, uploads: Uploads) -> None:
    for _ in range(3):
        begun(uploads, b"he")
    for octets in sorted((shelf.folder / FOLDER).glob("*.data"))[:2]:
        octets.unlink()
        octets.symlink_to(shelf.folder)  # nothing that this server opens
    age(shelf, 2 * DAY, "*.json")
    for octets in (shelf.folder / FOLDER).glob("*.data"):
        os.utime(octets, (0, 0), follow_symlinks=False)
    assert uploads.sweep() == 1
    assert sum(path.is_symlink() for path in (shelf.folder / FOLDER).iterdir()) == 2


def test_a_running_server_sweeps_by_itself(shelf: Shelf, uploads: Uploads) -> None:
    begun(uploads, b"he")

    async def wait() -> None:
        async with sweeping(shelf.folder.parents[1], timedelta(seconds=1)):
            deadline = time.monotonic() + 20
            while left(shelf):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)

    asyncio.run(wait())
