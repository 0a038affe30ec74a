"""Sealed keys: what opens them, and what every failure says."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keystead.custody import passphrases
from keystead.custody.header import read_header
from keystead.custody.vault import Sealing, open_key, open_keys, seal_keys, sealing_of, write_unsealed
from keystead.errors import AlreadyThere, BadInput, NotThere, Unavailable
from keystead.machine.memory import Room
from keystead.machine.secrets import Passphrase, Secrets
from keystead.pki.keys import KeyType, PrivateKey, generate, private_pem

Make = Callable[[str], Secrets]
PLENTY = Room(1 << 40, "here")


def same(one: PrivateKey, other: PrivateKey) -> bool:
    return private_pem(one) == private_pem(other)


def test_a_key_sealed_to_an_identity_opens_with_it(
    tmp_path: Path, key: PrivateKey, by_identity: Make
) -> None:
    assert seal_keys(tmp_path, {"issuing": key}, by_identity("ca").for_sealing("it")) is Sealing.IDENTITY
    assert sealing_of(tmp_path, "issuing") is Sealing.IDENTITY
    assert same(open_key(tmp_path, "issuing", by_identity("ca")), key)


@pytest.mark.parametrize("key_type", KeyType)
def test_a_key_of_each_type_comes_out_as_it_went_in(
    tmp_path: Path, by_identity: Make, key_type: KeyType
) -> None:
    made = generate(key_type)
    seal_keys(tmp_path, {"issuing": made}, by_identity("ca").for_sealing("it"))
    assert same(open_key(tmp_path, "issuing", by_identity("ca")), made)


def test_a_sealed_file_is_private_and_holds_no_key_in_the_clear(
    tmp_path: Path, key: PrivateKey, by_identity: Make
) -> None:
    seal_keys(tmp_path, {"issuing": key}, by_identity("ca").for_sealing("it"))
    path = tmp_path / "issuing.key.age"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN AGE ENCRYPTED FILE-----")
    assert b"PRIVATE KEY" not in path.read_bytes()


def test_another_machines_identity_does_not_open(tmp_path: Path, key: PrivateKey, by_identity: Make) -> None:
    seal_keys(tmp_path, {"issuing": key}, by_identity("ca").for_sealing("it"))
    with pytest.raises(BadInput, match="another identity"):
        open_key(tmp_path, "issuing", by_identity("thief"))


def test_without_an_identity_the_error_says_how_systemd_hands_one_over(
    tmp_path: Path, key: PrivateKey, by_identity: Make
) -> None:
    seal_keys(tmp_path, {"issuing": key}, by_identity("ca").for_sealing("it"))
    with pytest.raises(Unavailable, match="LoadCredential=keystead-identity"):
        open_key(tmp_path, "issuing", Secrets({}))


def test_a_credential_that_is_no_identity_is_refused_and_not_shown(tmp_path: Path, key: PrivateKey) -> None:
    path = tmp_path / "keystead-identity"
    path.write_text("AGE-SECRET-KEY-1HUSHHUSH")
    path.chmod(0o600)
    with pytest.raises(BadInput, match="age-keygen") as raised:
        seal_keys(
            tmp_path, {"issuing": key}, Secrets({"CREDENTIALS_DIRECTORY": str(tmp_path)}).for_sealing("it")
        )
    assert "HUSHHUSH" not in str(raised.value)


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.9])
def test_a_sealed_file_that_was_changed_does_not_open(
    tmp_path: Path, key: PrivateKey, by_identity: Make, place: float
) -> None:
    seal_keys(tmp_path, {"issuing": key}, by_identity("ca").for_sealing("it"))
    path = tmp_path / "issuing.key.age"
    sealed = bytearray(path.read_bytes())
    at = int(len(sealed) * place)
    sealed[at] = ord("A") if sealed[at] != ord("A") else ord("B")
    path.write_bytes(sealed)
    with pytest.raises(BadInput, match=r"issuing\.key\.age"):
        open_key(tmp_path, "issuing", by_identity("ca"))


def test_sealing_overwrites_no_key(tmp_path: Path, key: PrivateKey, by_identity: Make) -> None:
    seal_keys(tmp_path, {"issuing": key}, by_identity("ca").for_sealing("it"))
    with pytest.raises(AlreadyThere):
        seal_keys(tmp_path, {"issuing": generate(KeyType.P256)}, by_identity("ca").for_sealing("it"))
    assert same(open_key(tmp_path, "issuing", by_identity("ca")), key)


def test_an_unsealed_key_asks_for_nothing(tmp_path: Path, key: PrivateKey) -> None:
    write_unsealed(tmp_path, "issuing", key)
    assert sealing_of(tmp_path, "issuing") is Sealing.NONE
    assert same(open_key(tmp_path, "issuing", Secrets({})), key)


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match=r"issuing\.key\.age"):
        open_key(tmp_path, "issuing", Secrets({}))


@pytest.mark.slow
def test_two_keys_are_sealed_and_opened_with_one_passphrase_asked_for_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return "correct horse"

    keys = {"root": generate(KeyType.P256), "issuing": generate(KeyType.ED25519)}
    secrets = Secrets({}, ask=ask)
    assert seal_keys(tmp_path, keys, secrets.for_sealing("it")) is Sealing.PASSPHRASE
    assert len(asked) == 2
    root, issuing = open_keys(tmp_path, ("root", "issuing"), secrets)
    assert same(root, keys["root"])
    assert same(issuing, keys["issuing"])
    assert asked[2:] == [f"Passphrase of root and issuing in {tmp_path}: "]


@pytest.fixture(scope="module")
def sealed() -> bytes:
    """One file sealed with the passphrase "right": sealing costs seconds."""
    return passphrases.seal(b"hush-hush", Passphrase("right"), "x", PLENTY)


@pytest.mark.slow
def test_age_is_made_to_work_hard_enough(sealed: bytes) -> None:
    assert (read_header(sealed, "x").log_n or 0) >= 18


@pytest.mark.slow
def test_a_wrong_passphrase_is_called_so(sealed: bytes) -> None:
    with pytest.raises(BadInput) as raised:
        passphrases.unseal(sealed, Passphrase("wrong"), "root.key.age", PLENTY)
    assert raised.value.code == "wrong-passphrase"
    assert "wrong" not in raised.value.what


@pytest.mark.slow
def test_a_payload_that_was_changed_is_called_damaged(sealed: bytes) -> None:
    at = sealed.index(b"\n-----END") - 20
    changed = sealed[:at] + (b"A" if sealed[at : at + 1] != b"A" else b"B") + sealed[at + 1 :]
    with pytest.raises(BadInput) as raised:
        passphrases.unseal(changed, Passphrase("right"), "root.key.age", PLENTY)
    assert raised.value.code == "damaged-seal"


@pytest.mark.slow
def test_too_little_memory_is_told_before_anything_is_tried(
    sealed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("it was tried"))
    with pytest.raises(Unavailable) as raised:
        passphrases.unseal(sealed, Passphrase("right"), "root.key.age", Room(100 << 20, "in this box"))
    needed = read_header(sealed, "x").memory >> 20
    assert f"about {needed} MiB, and 100 MiB are free in this box" in raised.value.why


def test_sealing_with_next_to_no_memory_is_not_tried() -> None:
    with pytest.raises(Unavailable, match="not enough memory"):
        passphrases.seal(b"x", Passphrase("right"), "root.key.age", Room(1 << 20, "in this box"))


_SQUEEZED = """
import resource, sys
from keystead.custody import passphrases
from keystead.errors import Unavailable
from keystead.machine.memory import Room
from keystead.machine.secrets import Passphrase
resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))
try:
    passphrases.{verb}(sys.stdin.buffer.read(), Passphrase("right"), "root.key.age", Room(1 << 40, "here"))
except Unavailable as error:
    print(error.code)
"""


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["seal", "unseal"])
def test_an_allocation_that_fails_after_all_is_an_error_and_no_abort(sealed: bytes, verb: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SQUEEZED.format(verb=verb)], input=sealed, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"no-memory\n", b"")


@pytest.mark.slow
def test_a_passphrase_is_in_no_argument_of_any_process(
    sealed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    run = subprocess.run

    def spy(command: list[str], **rest: object) -> object:
        seen.append((command, rest.get("env")))
        return run(command, **rest)  # type: ignore[call-overload] # handed through as it came

    monkeypatch.setattr(subprocess, "run", spy)
    assert passphrases.unseal(sealed, Passphrase("right"), "x", PLENTY) == b"hush-hush"
    assert "right" not in repr(seen)
