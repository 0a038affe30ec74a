"""A stream sealed is the stream opened, to the octet; nothing else comes out; and age opens it too."""

from __future__ import annotations

import errno
import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.custody.envelope import ARMOR, open_sealed, seal, wants_passphrase
from keystead.custody.recipients import Opener, Recipients
from keystead.errors import BadInput
from keystead.machine.secrets import Passphrase

KEY = pyrage.x25519.Identity.generate()
TO = Recipients((KEY.to_public(),), ("me",))
BY = Opener((KEY,), "mine")
STRANGER = Opener((pyrage.x25519.Identity.generate(),), "a stranger's")
WORDS = Passphrase("correct horse battery staple")


def sealed(data: bytes, to: Recipients | Passphrase = TO) -> bytes:
    sink = io.BytesIO()
    seal(io.BytesIO(data), sink, to)
    return sink.getvalue()


def opened(data: bytes, by: Opener | Passphrase = BY) -> bytes:
    sink = io.BytesIO()
    open_sealed(io.BufferedReader(io.BytesIO(data)), sink, by, "it")
    return sink.getvalue()


@given(st.integers(0, 200_000), st.binary(min_size=1, max_size=64))
def test_what_is_sealed_comes_out(size: int, pattern: bytes) -> None:
    data = (pattern * (size // len(pattern) + 1))[:size]
    assert opened(sealed(data)) == data


ONE = sealed(b"x" * 70_000)


@given(st.integers(0, len(ONE) - 1))
def test_what_ends_early_is_refused(size: int) -> None:
    with pytest.raises(BadInput, match="it is no archive of keystead, or is damaged"):
        opened(ONE[:size])


@given(st.integers(0, len(ONE) - 1), st.integers(1, 255))
def test_what_was_changed_is_refused(place: int, change: int) -> None:
    data = bytearray(ONE)
    data[place] ^= change
    with pytest.raises(BadInput, match=r"it is no archive|does not open"):
        opened(bytes(data))


@given(st.binary(max_size=500))
def test_whatever_else_is_there_is_refused(data: bytes) -> None:
    for text in (data, b"age-encryption.org/v1\n" + data):
        with pytest.raises(BadInput):
            opened(text)


@pytest.mark.parametrize("data", [b"", b"-----BEGIN CERTIFICATE-----\n"])
def test_what_is_not_sealed_at_all_is_not_taken_for_sealed_to_a_key(data: bytes) -> None:
    with pytest.raises(BadInput, match=r"a\.pem is no archive of keystead"):
        wants_passphrase(io.BufferedReader(io.BytesIO(data)), "a.pem")


def test_a_stranger_is_told_that_it_is_not_for_them() -> None:
    with pytest.raises(BadInput, match="a stranger's does not open it"):
        opened(ONE, STRANGER)


@pytest.mark.slow
def test_a_passphrase_opens_what_it_sealed_and_no_other_does() -> None:
    data = sealed(b"hello" * 50_000, WORDS)
    assert data.startswith(ARMOR)
    assert wants_passphrase(io.BufferedReader(io.BytesIO(data)), "a.backup")
    assert opened(data, WORDS) == b"hello" * 50_000
    with pytest.raises(BadInput, match="the passphrase does not open it"):
        opened(data, Passphrase("incorrect horse"))
    for place in (40, 300, len(data) - 5):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(BadInput, match=r"it is no archive|does not open"):
            opened(bytes(changed), WORDS)


def test_an_armor_without_an_end_is_refused_before_anything_is_tried() -> None:
    for text in (ARMOR, ARMOR + b"\n" + b"A" * 10_000, (ARMOR + b"\n") * 1000):
        with pytest.raises(BadInput, match="does not end"):
            opened(text, WORDS)


class Full(io.BytesIO):
    """A disk that is full."""

    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_goes_wrong_at_either_end_comes_out_as_it_was() -> None:
    with pytest.raises(OSError, match="No space"):
        seal(io.BytesIO(b"x" * 200_000), Full(), TO)
    with pytest.raises(OSError, match="No space"):
        open_sealed(io.BufferedReader(io.BytesIO(ONE)), Full(), BY, "it")


def test_an_interrupt_is_an_interrupt() -> None:
    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seal(Interrupted(), io.BytesIO(), TO)


def test_an_archive_is_not_held_in_memory() -> None:
    longest = 0

    class Endless(io.BytesIO):
        left = 64 << 20

        def read(self, size: int | None = -1) -> bytes:
            nonlocal longest
            assert size is not None
            longest = max(longest, size)
            taken = min(size, self.left)
            self.left -= taken
            return bytes(taken)

    class Sunk(io.BytesIO):
        def write(self, data: object) -> int:
            nonlocal longest
            assert isinstance(data, bytes)
            longest = max(longest, len(data))
            return len(data)

    seal(Endless(), Sunk(), TO)
    assert 0 < longest <= 1 << 20


@pytest.mark.parametrize("kind", ["x25519", "ed25519", "rsa"])
def test_age_itself_opens_what_is_sealed_to_a_recipient(
    tmp_path: Path, program: Callable[[str], str], kind: str
) -> None:
    age, identity = program("age"), tmp_path / "identity"
    if kind == "x25519":
        identity.touch(0o600)
        identity.write_text(f"{KEY}\n")
        to = TO
    else:
        command = [program("ssh-keygen"), "-q", "-t", kind, "-N", "", "-f", str(identity)]
        subprocess.run(command, check=True)
        to = Recipients((pyrage.ssh.Recipient.from_str((tmp_path / "identity.pub").read_text()),), ("me",))
    (tmp_path / "file").write_bytes(sealed(b"hello" * 50_000, to))
    done = subprocess.run([age, "-d", "-i", identity, tmp_path / "file"], capture_output=True, check=True)
    assert done.stdout == b"hello" * 50_000


def test_what_age_itself_seals_to_a_recipient_is_opened(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    command = [program("age"), "-r", str(KEY.to_public())]
    done = subprocess.run(command, input=b"hello" * 50_000, capture_output=True, check=True)
    assert opened(done.stdout) == b"hello" * 50_000
