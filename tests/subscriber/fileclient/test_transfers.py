"""Sending, listing and fetching, against a real server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from keystead.errors import AlreadyThere, BadInput, KeysteadError
from keystead.subscriber.fileclient.fetching import fetch, list_files
from keystead.subscriber.fileclient.onlooker import Nobody
from keystead.subscriber.fileclient.sending import send
from keystead.subscriber.fileclient.session import Session
from keystead.subscriber.fileclient.sources import size_of
from keystead.subscriber.fileclient.transfers import PARALLEL, transfer
from keystead.subscriber.layout import Folder
from tests.subscriber.fileclient.conftest import Run, Running


class Watcher(Nobody):
    """Remembers where it stood; ``shock`` is called at each step."""

    def __init__(self, shock: Callable[[], object] = lambda: None) -> None:
        self.sizes: list[int | None] = []
        self.steps: list[int] = []
        self._shock = shock

    def begins(self, size: int | None) -> None:
        self.sizes.append(size)

    def stands_at(self, octets: int) -> None:
        self.steps.append(octets)
        self._shock()


NOBODY = Nobody()


def made(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("size", [0, 1, 70_000, 128 * 1024, 3_000_001, 9_000_001])
def test_what_is_sent_comes_back(server: Running, tmp_path: Path, size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    path = made(tmp_path, "f ü.bin", content[:size])
    watcher = Watcher()
    with server.session() as session:
        receipt = send(session.first, path, watcher)
        assert receipt.sha256 == hashlib.sha256(content[:size]).digest()
        assert watcher.sizes == [size]
        assert watcher.steps == sorted(watcher.steps)
        assert watcher.steps[-1:] == [size] * bool(size)
        assert [entry.name for entry in list_files(session.first)] == ["f ü.bin"]
        out = tmp_path / "out"
        out.mkdir()
        fetched = fetch(session.first, "f ü.bin", out, NOBODY, overwrite=False)
    assert fetched == receipt
    assert (out / "f ü.bin").read_bytes() == content[:size]
    assert (out / "f ü.bin").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in out.iterdir()] == ["f ü.bin"]


def test_one_connection_serves_many_requests(server: Running, tmp_path: Path) -> None:
    with server.session() as session:
        channel = session.first._channel
        for number in range(3):
            send(session.first, made(tmp_path, f"f{number}", b"x" * 200_000), NOBODY)
            list_files(session.first)
        assert session.first._channel is channel


def test_a_connection_that_the_server_has_ended_is_made_anew(server: Running, tmp_path: Path) -> None:
    with server.session() as session:
        session.first.abort()
        assert list_files(session.first) == ()


def work(session: Session, paths: list[Path]) -> dict[str, object]:
    outcomes = transfer(session, paths, lambda connection, path: send(connection, path, NOBODY))
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
                send(session.first, path, NOBODY)
            assert caught.value.code == "too-large"
            assert "1,000,000" in caught.value.why
            assert list_files(session.first) == ()


def test_a_file_that_shrinks_while_it_is_sent_is_refused_and_nothing_is_kept(
    server: Running, tmp_path: Path
) -> None:
    path = made(tmp_path, "f", b"x" * 3_000_000)

    with server.session() as session:
        with pytest.raises(BadInput) as caught:
            send(session.first, path, Watcher(lambda: path.write_bytes(b"")))
        assert caught.value.code == "changed"
        assert list_files(session.first) == ()


@pytest.mark.parametrize("name", [".hidden", "con", "a\nb"])
def test_a_name_that_the_server_would_refuse_is_refused_here(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput):
        size_of(made(tmp_path, name, b"x"))


@pytest.mark.parametrize("is_pkcs12", [False, True])
def test_a_private_key_is_not_sent(
    server: Running, folder: Folder, tmp_path: Path, *, is_pkcs12: bool
) -> None:
    path = folder.files("alice").key
    if is_pkcs12:
        key = ec.generate_private_key(ec.SECP256R1())
        sealing = BestAvailableEncryption(b"passphrase")
        path = made(tmp_path, "a.p12", serialize_key_and_certificates(b"a", key, None, None, sealing))
    with server.session() as session:
        with pytest.raises(BadInput, match="it holds a PRIVATE KEY") as caught:
            send(session.first, path, NOBODY)
        assert caught.value.code == "private-key"
        assert list_files(session.first) == ()


def test_a_text_that_speaks_of_private_keys_is_sent(server: Running, tmp_path: Path) -> None:
    with server.session() as session:
        assert (
            send(session.first, made(tmp_path, "manual.txt", b"guard the PRIVATE KEY\n"), NOBODY).size == 22
        )


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
        send(session.first, path, NOBODY)
        with pytest.raises(AlreadyThere):
            fetch(session.first, "f", out, NOBODY, overwrite=False)
        assert (out / "f").read_bytes() == b"old"
        fetch(session.first, "f", out, NOBODY, overwrite=True)
    assert (out / "f").read_bytes() == b"new"


def test_a_file_whose_digest_is_wrong_is_not_kept(server: Running, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with server.session() as session:
        send(session.first, made(tmp_path, "f", b"x" * 1000), NOBODY)
        (stored,) = server.uploads.glob("client/alice/f")
        before = stored.stat()
        stored.write_bytes(b"y" * 1000)
        import os

        os.utime(stored, ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(BadInput) as caught:
            fetch(session.first, "f", out, NOBODY, overwrite=False)
    assert caught.value.code == "digest-mismatch"
    assert list(out.iterdir()) == []


def test_a_fetch_that_fails_here_leaves_a_connection_that_can_be_used(
    server: Running, tmp_path: Path
) -> None:
    def fail() -> None:
        raise BadInput("the disk is full")

    with server.session() as session:
        send(session.first, made(tmp_path, "f", b"x" * 3_000_000), NOBODY)
        (tmp_path / "out").mkdir()
        with pytest.raises(BadInput) as caught:
            fetch(session.first, "f", tmp_path / "out", Watcher(fail), overwrite=False)
        assert caught.value.what == "the disk is full"
        assert len(list_files(session.first)) == 1
    assert [path.suffix for path in (tmp_path / "out").iterdir()] == [".part"]


def test_a_file_that_is_not_there_is_said_in_the_servers_words(server: Running, tmp_path: Path) -> None:
    with server.session() as session, pytest.raises(KeysteadError) as caught:
        fetch(session.first, "f", tmp_path, NOBODY, overwrite=False)
    assert caught.value.code == "no-such-file"
