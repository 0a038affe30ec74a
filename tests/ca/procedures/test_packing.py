"""What was packed is unpacked, in pieces of any size; every other octet is refused; and tar reads it."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.ca.layout import INVENTORY
from keystead.ca.procedures.manifest import LIMITS, REQUIRED, File, Manifest
from keystead.ca.procedures.packing import MANIFEST, Contents, Stream, Unpacker, header, pack
from keystead.errors import BadInput, KeysteadError
from tests.ca.procedures.test_manifest import SAMPLE

CONTENT = {name: name.encode() * 40 for name in LIMITS if name in REQUIRED}


def manifest_of(content: dict[str, bytes]) -> Manifest:
    files = [File(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in content.items()]
    return replace(SAMPLE, files=tuple(files))


def packed(content: dict[str, bytes]) -> bytes:
    files = {name: data for name, data in content.items() if name != INVENTORY}
    return b"".join(pack(manifest_of(content), files, [content[INVENTORY]]))


def unpacked(pieces: Iterator[bytes]) -> tuple[Contents, bytes]:
    spool = io.BytesIO()
    unpacker = Unpacker(lambda manifest: spool, "it")
    for piece in pieces:
        assert unpacker.write(piece) == len(piece)
    return unpacker.contents(), spool.getvalue()


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


WHOLE = packed(CONTENT)


@given(
    st.lists(st.binary(max_size=1500), min_size=len(CONTENT), max_size=len(CONTENT)),
    st.integers(1, 5000),
)
def test_what_was_packed_comes_out_whatever_the_pieces(data: list[bytes], size: int) -> None:
    content = dict(zip(CONTENT, data, strict=True))
    contents, inventory = unpacked(cut(packed(content), size))
    assert {**contents.files, INVENTORY: inventory} == content
    assert contents.manifest == manifest_of(content)


@given(st.integers(0, len(WHOLE) - 1))
def test_an_archive_that_ends_early_is_refused(size: int) -> None:
    with pytest.raises(BadInput, match="damaged"):
        unpacked(iter([WHOLE[:size]]))


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_an_archive_with_any_octet_changed_is_refused_or_says_something_else_of_itself(
    place: int, change: int
) -> None:
    data = bytearray(WHOLE)
    data[place] ^= change
    try:
        contents, _ = unpacked(iter([bytes(data)]))
    except KeysteadError as error:
        assert error.what.startswith("it ")
    else:
        assert contents.manifest != manifest_of(CONTENT)


@given(st.binary(min_size=1, max_size=2000))
def test_nothing_may_follow_the_end(more: bytes) -> None:
    with pytest.raises(BadInput, match="follows its end"):
        unpacked(iter([WHOLE + more]))


def test_what_was_refused_stays_refused_when_more_of_it_comes() -> None:
    unpacker = Unpacker(lambda manifest: io.BytesIO(), "it")
    for _ in range(3):
        with pytest.raises(BadInput):
            unpacker.write(bytes(512))


def test_a_name_in_an_archive_is_no_path() -> None:
    start = len(header(MANIFEST, 0)) + len(SAMPLE.encode()) + -len(SAMPLE.encode()) % 512
    evil = WHOLE.replace(header("ca.toml", 280), header("../ca.toml", 280))
    assert evil != WHOLE
    assert len(evil) > start
    with pytest.raises(BadInput, match="is not where its manifest says"):
        unpacked(iter([evil]))


def test_tar_reads_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(WHOLE)) as tar:
        assert tar.getnames() == [MANIFEST, *CONTENT]
        inventory = tar.extractfile(INVENTORY)
        assert inventory is not None
        assert inventory.read() == CONTENT[INVENTORY]


@given(st.lists(st.binary(max_size=50)), st.integers(1, 20))
def test_a_stream_reads_its_pieces_to_the_end(pieces: list[bytes], size: int) -> None:
    stream, read = Stream(pieces), b""
    while piece := stream.read(size):
        assert len(piece) <= size
        read += piece
    assert read == b"".join(pieces)
