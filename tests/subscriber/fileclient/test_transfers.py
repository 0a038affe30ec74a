"""Sending, listing and fetching, against a real server."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from keystead.errors import AlreadyThere, BadInput, KeysteadError
from keystead.subscriber.fileclient.fetching import fetch, list_files
from keystead.subscriber.fileclient.sending import send, size_of
from keystead.subscriber.fileclient.session import Session
from keystead.subscriber.fileclient.transfers import PARALLEL, transfer
from tests.subscriber.fileclient.conftest import Run, Running


def silent(_: int) -> None:
    pass


def made(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("size", [0, 1, 70_000, 128 * 1024, 3_000_001])
def test_what_is_sent_comes_back(server: Running, tmp_path: Path, size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    path = made(tmp_path, "f ü.bin", content[:size])
    progress: list[int] = []
    with server.session() as session:
        receipt = send(session.first, path, progress.append)
        assert receipt.sha256 == hashlib.sha256(content[:size]).digest()
        assert sum(progress) == size
        assert [entry.name for entry in list_files(session.first)] == ["f ü.bin"]
        out = tmp_path / "out"
        out.mkdir()
        fetched = fetch(session.first, "f ü.bin", out, lambda _: silent, overwrite=False)
    assert fetched == receipt
    assert (out / "f ü.bin").read_bytes() == content[:size]
    assert (out / "f ü.bin").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in out.iterdir()] == ["f ü.bin"]


def test_one_connection_serves_many_requests(server: Running, tmp_path: Path) -> None:
    with server.session() as session:
        channel = session.first._channel
        for number in range(3):
            send(session.first, made(tmp_path, f"f{number}", b"x" * 200_000), silent)
            list_files(session.first)
        assert session.first._channel is channel


def test_a_connection_that_the_server_has_ended_is_made_anew(server: Running, tmp_path: Path) -> None:
    with server.session() as session:
        session.first.abort()
        assert list_files(session.first) == ()


def work(session: Session, paths: list[Path]) -> dict[str, object]:
    outcomes = transfer(session, paths, lambda connection, path: send(connection, path, silent))
    return {outcome.job.name: outcome.result for outcome in outcomes}


def test_several_files_go_at_once_and_each_has_its_outcome(run: Run, tmp_path: Path) -> None:
    paths = [made(tmp_path, f"f{number}", bytes([number]) * 300_000) for number in range(2 * PARALLEL)]
    paths.append(made(tmp_path, "huge", b"x" * 900_000))
    with run(file=800_000) as server, server.session() as session:
        results = work(session, paths)
        assert len(list_files(session.first)) == 2 * PARALLEL
    refused = results.pop("huge")
    assert isinstance(refused, KeysteadError)
    assert refused.code == "too-large"
    assert not any(isinstance(result, KeysteadError) for result in results.values())


def test_a_mistake_on_a_thread_is_raised_where_it_is_seen(server: Running) -> None:
    def stumble(*_: object) -> object:
        raise ZeroDivisionError

    with server.session() as session, pytest.raises(ZeroDivisionError):
        list(transfer(session, [1, 2, 3], stumble))  # type: ignore[arg-type]


def test_a_refusal_of_a_large_file_is_shown_and_not_a_broken_pipe(run: Run, tmp_path: Path) -> None:
    path = made(tmp_path, "huge", b"x" * 20_000_000)
    with run(file=1_000_000) as server, server.session() as session:
        for _ in range(10):
            with pytest.raises(KeysteadError) as caught:
                send(session.first, path, silent)
            assert caught.value.code == "too-large"
            assert "1,000,000" in caught.value.why
            assert list_files(session.first) == ()


def test_a_file_that_shrinks_while_it_is_sent_is_refused_and_nothing_is_kept(
    server: Running, tmp_path: Path
) -> None:
    path = made(tmp_path, "f", b"x" * 3_000_000)

    def shrink(_: int) -> None:
        path.write_bytes(b"")

    with server.session() as session:
        with pytest.raises(BadInput) as caught:
            send(session.first, path, shrink)
        assert caught.value.code == "changed"
        assert list_files(session.first) == ()


@pytest.mark.parametrize("name", [".hidden", "con", "a\nb"])
def test_a_name_that_the_server_would_refuse_is_refused_here(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput):
        size_of(made(tmp_path, name, b"x"))


def test_a_folder_is_refused_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        size_of(tmp_path)
    assert "/*" in caught.value.mend


def test_a_file_that_is_there_is_overwritten_only_where_that_is_wanted(
    server: Running, tmp_path: Path
) -> None:
    path = made(tmp_path, "f", b"new")
    out = tmp_path / "out"
    out.mkdir()
    made(out, "f", b"old")
    with server.session() as session:
        send(session.first, path, silent)
        with pytest.raises(AlreadyThere):
            fetch(session.first, "f", out, lambda _: silent, overwrite=False)
        assert (out / "f").read_bytes() == b"old"
        fetch(session.first, "f", out, lambda _: silent, overwrite=True)
    assert (out / "f").read_bytes() == b"new"


def test_a_file_whose_digest_is_wrong_is_not_kept(server: Running, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with server.session() as session:
        send(session.first, made(tmp_path, "f", b"x" * 1000), silent)
        (stored,) = server.uploads.glob("client/alice/f")
        before = stored.stat()
        stored.write_bytes(b"y" * 1000)
        import os

        os.utime(stored, ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(BadInput) as caught:
            fetch(session.first, "f", out, lambda _: silent, overwrite=False)
    assert caught.value.code == "digest-mismatch"
    assert list(out.iterdir()) == []


def test_a_fetch_that_fails_here_leaves_a_connection_that_can_be_used(
    server: Running, tmp_path: Path
) -> None:
    def fail(_: int) -> None:
        raise BadInput("the disk is full")

    with server.session() as session:
        send(session.first, made(tmp_path, "f", b"x" * 3_000_000), silent)
        (tmp_path / "out").mkdir()
        with pytest.raises(BadInput) as caught:
            fetch(session.first, "f", tmp_path / "out", lambda _: fail, overwrite=False)
        assert caught.value.what == "the disk is full"
        assert len(list_files(session.first)) == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_that_is_not_there_is_said_in_the_servers_words(server: Running, tmp_path: Path) -> None:
    with server.session() as session, pytest.raises(KeysteadError) as caught:
        fetch(session.first, "f", tmp_path, lambda _: silent, overwrite=False)
    assert caught.value.code == "no-such-file"
