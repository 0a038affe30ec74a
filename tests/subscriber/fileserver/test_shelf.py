"""Keeping files: whole or not at all, durable, to their owner, and never another environment's."""

import asyncio
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keystead.errors import Distrusted, NotThere
from keystead.pki.names import Identity, TrustDomain
from keystead.subscriber.fileserver.conditions import Conditions
from keystead.subscriber.fileserver.digests import Digests
from keystead.subscriber.fileserver.incoming import begin
from keystead.subscriber.fileserver.resumable import Uploads
from keystead.subscriber.fileserver.shelf import Shelf, open_store
from tests.subscriber.fileserver.callers import DOMAIN, in_pieces

ALICE = Identity(DOMAIN, "client", "alice")
ALWAYS = Conditions()


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = open_store(tmp_path / "uploads", DOMAIN).shelf(ALICE)
    shelf.prepare()
    return shelf


def put(shelf: Shelf, name: str, content: bytes) -> None:
    file = begin(shelf.folder)
    file.write([content])
    shelf.keep(file, name, ALWAYS)
    file.discard()


def visible(shelf: Shelf) -> list[str]:
    return [path.name for path in shelf.folder.iterdir() if path.name != ".gitignore"]


def test_folders_and_files_are_for_their_owner_alone(shelf: Shelf) -> None:
    put(shelf, "f", b"hello")
    assert (shelf.folder / "f").stat().st_mode & 0o777 == 0o600
    assert shelf.folder.stat().st_mode & 0o777 == 0o700


def test_a_broken_upload_leaves_nothing_behind(server: Any) -> None:
    class Broken(Exception):
        pass

    async def broken() -> Any:
        yield b"x" * 300_000
        yield b"x" * 300_000
        raise Broken

    server.put("/files/f", content=b"old")
    with pytest.raises(Broken):
        server.put("/files/f", content=broken())
    assert server.names() == ["f"]
    assert server.get("/files/f").content == b"old"


def test_a_sender_who_goes_away_leaves_nothing_behind(server: Any) -> None:
    messages = iter(
        [
            {"type": "http.request", "body": b"x" * 300_000, "more_body": True},
            {"type": "http.request", "body": b"x" * 300_000, "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    scope = {"type": "http", "method": "PUT", "path": "/files/f", "raw_path": b"/files/f", "headers": []}

    async def receive() -> Any:
        return next(messages)

    async def send(_: Any) -> None:
        pass

    asyncio.run(server(scope, receive, send))
    assert server.names() == []


def test_a_file_is_visible_only_whole(server: Any) -> None:
    seen: list[list[str]] = []

    async def watched() -> Any:
        for _ in range(4):
            yield b"x" * 300_000
            seen.append([name for name in server.names() if not name.startswith(".")])
            seen.append((await server.ask("GET", "/files/")).json())

    server.put("/files/f", content=watched())
    assert seen == [[]] * 8
    assert server.names() == ["f"]


def test_of_two_uploads_of_one_name_the_last_to_end_wins_whole(server: Any) -> None:
    async def both() -> None:
        first_may_end = asyncio.Event()

        async def slow() -> Any:
            yield b"a" * 300_000
            await first_may_end.wait()
            yield b"a" * 300_000

        one = asyncio.create_task(server.ask("PUT", "/files/f", content=slow()))
        await server.ask("PUT", "/files/f", content=in_pieces(b"b" * 500_000))
        assert (server.folder / "f").read_bytes() == b"b" * 500_000
        first_may_end.set()
        await one
        assert (server.folder / "f").read_bytes() == b"a" * 600_000

    asyncio.run(both())


def test_many_uploads_of_one_name_are_never_mixed(shelf: Shelf) -> None:
    contents = [bytes([n]) * 100_000 for n in range(8)]
    threads = [threading.Thread(target=put, args=(shelf, "f", content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (shelf.folder / "f").read_bytes() in contents
    assert visible(shelf) == ["f"]


def near(shelf: Shelf, digests: Digests | None = None, *, near: bool = True) -> Shelf:
    return Shelf(shelf.folder, digests or Digests(), threading.Lock(), near=near)


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_file_of_this_machine_whose_digest_is_noted_is_opened_at_once(shelf: Shelf) -> None:
    digests = Digests()  # where the file system has no attributes, it is they that remember
    put(near(shelf, digests), "f", b"hello")
    file = near(shelf, digests).open_at_once("f")
    assert file is not None
    assert os.read(file.descriptor, 10) == b"hello"
    file.close()
    with pytest.raises(NotThere):
        near(shelf).open_at_once("g")


def test_where_it_may_take_its_time_no_file_is_opened_at_once(shelf: Shelf) -> None:
    put(shelf, "f", b"hello")
    assert near(shelf, near=False).open_at_once("f") is None
    (shelf.folder / "by-hand").write_bytes(b"hello")
    before = _descriptors()
    assert near(shelf).open_at_once("by-hand") is None
    assert _descriptors() == before
    file = near(shelf).open("by-hand")
    assert file.entry.sha256 == hashlib.sha256(b"hello").digest()
    file.close()


def test_what_a_killed_server_left_is_swept_at_the_next_start(shelf: Shelf, tmp_path: Path) -> None:
    (shelf.folder / ".incoming-0123456789abcdef").write_bytes(b"half")
    put(shelf, "f", b"hello")
    open_store(tmp_path / "uploads", DOMAIN)
    assert visible(shelf) == ["f"]


def test_a_sweep_leaves_alone_what_another_server_still_receives(shelf: Shelf, tmp_path: Path) -> None:
    file = begin(shelf.folder)
    file.write([b"hel"])
    open_store(tmp_path / "uploads", DOMAIN)
    file.write([b"lo"])
    shelf.keep(file, "f", ALWAYS)
    file.discard()
    assert (shelf.folder / "f").read_bytes() == b"hello"


def test_a_discarded_file_takes_no_more(shelf: Shelf) -> None:
    file = begin(shelf.folder)
    file.discard()
    file.write([b"late"])
    file.discard()
    assert visible(shelf) == []


def test_the_files_of_another_environment_are_refused(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(Distrusted) as caught:
        open_store(tmp_path / "uploads", TrustDomain("prod.example.internal"))
    assert "dev.example.internal" in caught.value.why
    assert "--uploads" in caught.value.mend


def test_a_link_that_somebody_put_there_is_not_followed(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (shelf.folder / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(shelf.folder / "pipe")
    (shelf.folder / "folder").mkdir()
    for name in ("link", "pipe", "folder"):
        with pytest.raises(NotThere):
            shelf.open(name)
    assert list(shelf.entries()) == []


def test_a_digest_is_made_once(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    put(shelf, "f", b"hello")

    def never(self: Digests, descriptor: int) -> bytes:
        raise AssertionError("hashed again")

    monkeypatch.setattr(Digests, "_make", never)
    file = shelf.open("f")
    file.close()
    assert file.entry.sha256 == hashlib.sha256(b"hello").digest()


def test_the_digest_of_a_file_edited_by_hand_is_made_anew(shelf: Shelf) -> None:
    put(shelf, "f", b"hello")
    (shelf.folder / "f").write_bytes(b"jello")
    file = shelf.open("f")
    file.close()
    assert file.entry.sha256 == hashlib.sha256(b"jello").digest()


def test_without_extended_attributes_the_process_remembers(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "setxattr", unsupported)
    monkeypatch.setattr(os, "getxattr", unsupported)
    put(shelf, "f", b"hello")
    test_a_digest_is_made_once(shelf, monkeypatch)


@pytest.mark.parametrize("target", ["/files/", "/tus/"])
def test_many_lists_at_once_leave_a_thread_for_files(
    server: Any, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    may_end = threading.Event()

    def long(_: object) -> Iterator[Any]:
        may_end.wait(30)
        return iter(())

    monkeypatch.setattr(Shelf, "entries", long)
    monkeypatch.setattr(Uploads, "pending", long)

    async def many() -> None:
        lists = [asyncio.create_task(server.ask("GET", target)) for _ in range(40)]
        try:
            await asyncio.sleep(0)
            async with asyncio.timeout(10):
                answer = await server.as_("bob").ask("PUT", "/files/f", content=b"hello")
        finally:
            may_end.set()
        assert answer.status_code == 201
        assert {answer.status_code for answer in await asyncio.gather(*lists)} == {200}

    asyncio.run(many())
