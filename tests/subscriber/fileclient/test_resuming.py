"""Sending and fetching that break off and go on, against a real server and a breaking proxy."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from keystead.errors import AlreadyThere, KeysteadError, Unavailable
from keystead.subscriber.fileclient import persistence
from keystead.subscriber.fileclient.address import ServerAddress
from keystead.subscriber.fileclient.fetching import fetch, list_files
from keystead.subscriber.fileclient.onlooker import Nobody
from keystead.subscriber.fileclient.parts import Part
from keystead.subscriber.fileclient.sending import RESUMABLE, send
from keystead.subscriber.fileclient.session import Session
from keystead.wire.files import Receipt
from keystead.wire.tus import Pending, parse_list
from tests.proxies import Proxy, proxying
from tests.subscriber.fileclient.conftest import Run, Running

pytestmark = pytest.mark.slow

MIB = 1 << 20
SIZE = 3 * RESUMABLE


class Watcher(Nobody):
    """Remembers what it is told; at ``limit`` octets it does what a person at Ctrl-C does."""

    def __init__(self, session: Session | None = None, limit: int = 0) -> None:
        self.went_on: list[int] = []
        self.anew = 0
        self.waited: list[str] = []
        self.steps: list[int] = []
        self._session = session
        self._limit = limit

    def stands_at(self, octets: int) -> None:
        self.steps.append(octets)
        if self._session is not None and octets >= self._limit:
            self._session.first.abort()

    def goes_on(self, octets: int, size: int) -> None:
        assert 0 < octets < size
        self.went_on.append(octets)

    def begins_anew(self) -> None:
        self.anew += 1

    def waits(self, seconds: float, error: KeysteadError) -> None:
        self.waited.append(error.code)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistence, "PAUSES", (0.0, 0.05, 0.2, 0.5, 1.0))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


@contextmanager
def through(
    server: Running, *, up: Sequence[int] = (), down: Sequence[int] = ()
) -> Iterator[tuple[Session, Proxy]]:
    """A session of alice's, through a proxy."""
    with (
        proxying(server.address.port, up=up, down=down) as proxy,
        server.session(address=ServerAddress("127.0.0.1", proxy.port)) as session,
    ):
        yield session, proxy


def broken_off(server: Running, path: Path, at: int = SIZE // 2) -> None:
    """An upload that ends in the middle, as by a kill."""
    with server.session() as session, pytest.raises(Unavailable):
        send(session.first, path, Watcher(session, at))
    with server.session() as session:
        wait_until(lambda: not any(upload.is_busy for upload in unfinished(session)))


def unfinished(session: Session) -> tuple[Pending, ...]:
    return parse_list(session.first.ask("GET", "/tus/").body)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stored(server: Running) -> Path:
    return server.uploads / "client" / "alice"


def parts_at(server: Running) -> list[int]:
    return [found.stat().st_size for found in stored(server).glob(".uploads/*.data")]


# ---- sending


def test_an_upload_goes_on_where_the_connection_broke(server: Running, path: Path) -> None:
    watcher = Watcher()
    with through(server, up=[SIZE // 3, SIZE // 3]) as (session, proxy):
        receipt = send(session.first, path, watcher)
    assert receipt.size == SIZE
    assert (stored(server) / path.name).read_bytes() == path.read_bytes()
    assert (
        watcher.waited
    )  # once or twice: the second connection may be used up by asking again where it stands
    assert set(watcher.waited) <= persistence.PASSING
    assert watcher.went_on
    assert watcher.went_on == sorted(watcher.went_on)
    assert proxy.up < SIZE * 1.5  # some of it was lost on its way
    assert watcher.steps[-1] == SIZE


def test_an_upload_that_broke_off_is_gone_on_with_by_a_later_run(server: Running, path: Path) -> None:
    broken_off(server, path)
    watcher = Watcher()
    with through(server) as (session, proxy):
        send(session.first, path, watcher)
    (there,) = watcher.went_on
    assert there > SIZE // 4
    assert proxy.up < SIZE - there + MIB
    assert (stored(server) / path.name).read_bytes() == path.read_bytes()
    assert parts_at(server) == []


def test_an_upload_survives_a_restart_of_the_server(run: Run, path: Path) -> None:
    with run() as server:
        broken_off(server, path)
    with run() as server, server.session() as session:
        watcher = Watcher()
        send(session.first, path, watcher)
        assert watcher.went_on


@pytest.mark.parametrize("changed", ["the beginning", "the length"])
def test_a_file_that_has_changed_is_not_glued_onto_the_old_part(
    server: Running, path: Path, changed: str
) -> None:
    broken_off(server, path)
    if changed == "the beginning":
        with path.open("r+b") as file:
            file.write(b"changed")
    else:
        path.write_bytes(path.read_bytes() + b"longer")
    watcher = Watcher()
    with server.session() as session:
        send(session.first, path, watcher)
    assert watcher.anew == 1
    assert (stored(server) / path.name).read_bytes() == path.read_bytes()
    assert parts_at(server) == []


def test_a_change_behind_the_part_that_is_there_is_no_hindrance(server: Running, path: Path) -> None:
    broken_off(server, path)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")
    with server.session() as session:
        send(session.first, path, Watcher())
    assert (stored(server) / path.name).read_bytes() == path.read_bytes()


def test_two_runs_at_once_with_one_file_both_end_well(server: Running, path: Path) -> None:
    results: list[Receipt | KeysteadError] = []

    def once() -> None:
        with server.session() as session:
            try:
                results.append(send(session.first, path, Watcher()))
            except KeysteadError as error:
                results.append(error)

    threads = [threading.Thread(target=once) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result for result in results if not isinstance(result, Receipt)] == []
    assert (stored(server) / path.name).read_bytes() == path.read_bytes()


def test_an_upload_that_expired_is_begun_anew(run: Run, path: Path) -> None:
    with run(expiry=timedelta(days=1)) as server:
        broken_off(server, path)
        for found in stored(server).glob(".uploads/[!.]*"):
            os.utime(found, (0, 0))
        with server.session() as session:
            watcher = Watcher()
            send(session.first, path, watcher)
    assert watcher.went_on == []


def test_a_small_file_is_sent_again_where_the_connection_broke(server: Running, tmp_path: Path) -> None:
    path = tmp_path / "small"
    path.write_bytes(os.urandom(3 * MIB))
    watcher = Watcher()
    with through(server, up=[MIB]) as (session, _):
        send(session.first, path, watcher)
    assert watcher.waited
    assert (stored(server) / "small").read_bytes() == path.read_bytes()


def test_where_nothing_helps_it_is_said_what_to_type(server: Running, path: Path) -> None:
    watcher = Watcher()
    with (
        through(server, up=[SIZE // 2, *[100] * 50]) as (session, _),
        pytest.raises(Unavailable) as caught,
    ):
        send(session.first, path, watcher)
    assert "the same command again" in caught.value.mend
    assert len(watcher.waited) == len(persistence.PAUSES)


def test_a_refusal_is_not_tried_again(run: Run, path: Path) -> None:
    watcher = Watcher()
    with run(file=1000) as server, server.session() as session, pytest.raises(KeysteadError) as caught:
        send(session.first, path, watcher)
    assert caught.value.code == "too-large"
    assert watcher.waited == []


# ---- fetching


@pytest.fixture
def out(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    out.mkdir()
    return out


@pytest.fixture
def there(server: Running, path: Path) -> Running:
    """The server has the file."""
    with server.session() as session:
        send(session.first, path, Nobody())
    return server


def get_half(server: Running, path: Path, out: Path) -> int:
    with server.session() as session, pytest.raises(Unavailable):
        fetch(session.first, path.name, out, Watcher(session, SIZE // 2), overwrite=False)
    (part,) = out.iterdir()
    assert part.stat().st_mode & 0o777 == 0o600
    assert part.name.startswith(".")
    return part.stat().st_size


def test_a_fetch_goes_on_where_the_connection_broke(there: Running, path: Path, out: Path) -> None:
    watcher = Watcher()
    with through(there, down=[SIZE // 2]) as (session, proxy):
        fetch(session.first, path.name, out, watcher, overwrite=False)
    assert (out / path.name).read_bytes() == path.read_bytes()
    assert len(watcher.went_on) == 1
    assert proxy.down < SIZE * 1.2
    assert [found.name for found in out.iterdir()] == [path.name]


def test_a_fetch_that_broke_off_is_gone_on_with_by_the_next(there: Running, path: Path, out: Path) -> None:
    have = get_half(there, path, out)
    watcher = Watcher()
    with through(there) as (session, proxy):
        fetch(session.first, path.name, out, watcher, overwrite=False)
    assert watcher.went_on == [have - 1]
    assert proxy.down < SIZE - have + MIB
    assert (out / path.name).read_bytes() == path.read_bytes()
    assert (out / path.name).stat().st_mode & 0o777 == 0o600
    assert [found.name for found in out.iterdir()] == [path.name]


def test_a_file_that_has_changed_on_the_server_is_fetched_whole(
    there: Running, path: Path, out: Path
) -> None:
    get_half(there, path, out)
    path.write_bytes(os.urandom(SIZE))
    watcher = Watcher()
    with there.session() as session:
        send(session.first, path, Nobody())
        fetch(session.first, path.name, out, watcher, overwrite=False)
    assert (watcher.went_on, watcher.anew) == ([], 1)
    assert (out / path.name).read_bytes() == path.read_bytes()
    assert [found.name for found in out.iterdir()] == [path.name]


def test_a_part_that_was_tampered_with_is_noticed_at_the_end(there: Running, path: Path, out: Path) -> None:
    get_half(there, path, out)
    (part,) = out.iterdir()
    with part.open("r+b") as file:
        file.write(b"tampered")
    with there.session() as session, pytest.raises(KeysteadError) as caught:
        fetch(session.first, path.name, out, Nobody(), overwrite=False)
    assert caught.value.code == "digest-mismatch"
    assert list(out.iterdir()) == []


def test_a_part_that_others_could_write_is_not_gone_on_with(there: Running, path: Path, out: Path) -> None:
    get_half(there, path, out)
    (part,) = out.iterdir()
    part.chmod(0o666)
    with there.session() as session, pytest.raises(Unavailable) as caught:
        fetch(session.first, path.name, out, Nobody(), overwrite=False)
    assert caught.value.code == "locked"


def test_a_whole_part_is_only_given_its_name(there: Running, path: Path, out: Path) -> None:
    get_half(there, path, out)
    (part,) = out.iterdir()
    part.write_bytes(path.read_bytes())
    with through(there) as (session, proxy):
        fetch(session.first, path.name, out, Nobody(), overwrite=False)
    assert proxy.down < MIB
    assert (out / path.name).read_bytes() == path.read_bytes()


def test_two_fetches_at_once_do_not_write_into_one_part(there: Running, path: Path, out: Path) -> None:
    get_half(there, path, out)
    part = Part.find(out / path.name)
    assert part is not None
    with there.session() as session, pytest.raises(Unavailable) as caught:
        fetch(session.first, path.name, out, Nobody(), overwrite=False)
    assert caught.value.code == "locked"
    part.close()


def test_a_part_of_a_file_that_the_server_has_no_more_goes(there: Running, path: Path, out: Path) -> None:
    get_half(there, path, out)
    (stored(there) / path.name).unlink()
    with there.session() as session, pytest.raises(KeysteadError) as caught:
        fetch(session.first, path.name, out, Nobody(), overwrite=False)
    assert caught.value.code == "no-such-file"
    assert list(out.iterdir()) == []


def test_what_has_come_there_meanwhile_is_spared(there: Running, path: Path, out: Path) -> None:
    class Rival(Nobody):
        def stands_at(self, octets: int) -> None:
            with suppress(FileExistsError):
                (out / path.name).touch(exist_ok=False)

    with there.session() as session:
        with pytest.raises(AlreadyThere):
            fetch(session.first, path.name, out, Rival(), overwrite=False)
        assert (out / path.name).read_bytes() == b""
        fetch(session.first, path.name, out, Nobody(), overwrite=True)
        assert len(list_files(session.first)) == 1
    assert [found.name for found in out.iterdir()] == [path.name]
