"""The numbers that survive a restart."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest

from keystead.errors import BadInput, NotThere
from keystead.tls.crlfile import CrlFile
from tests.tls.throwaway import Environment


@pytest.fixture
def file(tmp_path: Path) -> CrlFile:
    return CrlFile(tmp_path / "crl.pem")


def test_numbers_are_remembered_and_never_lowered(file: CrlFile) -> None:
    file.remember({b"\x01": 5, b"\x02": 3})
    file.remember({b"\x01": 4, b"\x02": 9})
    assert CrlFile(file.path).numbers() == {b"\x01": 5, b"\x02": 9}


def test_an_issuer_that_is_gone_is_still_remembered(file: CrlFile) -> None:
    file.remember({b"\x01": 5})
    file.remember({b"\x02": 1})
    assert file.numbers() == {b"\x01": 5, b"\x02": 1}


def test_the_numbers_lie_beside_the_lists_and_belong_to_the_owner_alone(file: CrlFile) -> None:
    file.remember({b"\x01": 5})
    assert file.numbers_path == file.path.with_name(".crl.pem.numbers")
    assert stat.S_IMODE(file.numbers_path.stat().st_mode) == 0o600


def test_nothing_is_written_where_nothing_is_new(file: CrlFile) -> None:
    file.remember({b"\x01": 5})
    before = file.numbers_path.stat().st_ino
    file.remember({b"\x01": 5})
    assert file.numbers_path.stat().st_ino == before


@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b'{"zz": 1}', b'{"01": "x"}', b'{"01": null}', b"\xff"])
def test_numbers_that_cannot_be_read_are_not_taken_for_none(file: CrlFile, broken: bytes) -> None:
    file.numbers_path.write_bytes(broken)
    with pytest.raises(BadInput, match="numbers"):
        file.numbers()


def test_a_missing_file_names_the_command_that_makes_it(file: CrlFile) -> None:
    with pytest.raises(NotThere) as caught:
        file.read()
    assert caught.value.code == "crl-missing"
    assert "keystead ca crl" in caught.value.mend


def test_the_lists_are_read(file: CrlFile, dev: Environment) -> None:
    file.path.write_bytes(dev.crl_pem())
    assert len(file.read()) == 2


def raise_numbers(path: Path, writer: int) -> None:
    for step in range(30):
        CrlFile(path).remember({bytes([writer]): step, b"\xff": 100 * step + writer})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # the children use no thread
def test_several_processes_that_raise_the_numbers_lose_none(file: CrlFile) -> None:
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=raise_numbers, args=(file.path, number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert file.numbers() == {**{bytes([number]): 29 for number in range(4)}, b"\xff": 2903}
