"""Seals and opens age files by passphrase, each in a process of its own, after a look at the memory.

Not here: identities (`identities`), and where passphrases come from (`machine.secrets`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

from keystead.custody import scrypt_worker
from keystead.custody.header import MAX_LOG_N, damaged, read_header, scrypt_memory
from keystead.errors import BadInput, KeysteadError, Unavailable
from keystead.machine.memory import Room
from keystead.machine.secrets import Passphrase

MIN_LENGTH = 12
"""Characters. NIST SP 800-63B, section 5.1.1, wants 8 where a verifier slows guessing down; here scrypt alone
does. As there, nothing but length is asked for.
"""

_WRONG = "Decryption failed"
"""What age says where the passphrase does not open the header's stanza."""

_KILLED_FOR_MEMORY = (-6, -9)
"""SIGABRT: the allocation failed; SIGKILL: the kernel had to take memory back."""


def shortness(passphrase: Passphrase) -> str:
    """Why a passphrase is too short to guard a CA's key; empty where it is long enough."""
    length = len(passphrase.reveal())
    return f"it has {length} characters, and {MIN_LENGTH} are the least" if length < MIN_LENGTH else ""


def seal(data: bytes, passphrase: Passphrase, source: str, room: Room) -> bytes:
    """``data`` sealed, armored; ``source`` names it in errors.

    age chooses the work factor by this machine's speed. Raises `Unavailable` where ``room`` is too small.
    """
    expected = sealing_memory()
    # What age will choose is known within a factor of two: only what is sure to fail is not tried.
    if room.size < expected // 2:
        raise _no_room("seal", source, expected, room)
    return _run("seal", data, passphrase, source, expected, room)


def unseal(data: bytes, passphrase: Passphrase, source: str, room: Room) -> bytes:
    """What ``data`` holds.

    Raises `Unavailable` where ``room`` is too small, `BadInput` where the passphrase is wrong or the file
    damaged.
    """
    needed = read_header(data, source).memory
    if room.size < needed:
        raise _no_room("open", source, needed, room)
    return _run("open", data, passphrase, source, needed, room)


def sealing_memory() -> int:
    """Bytes that age is expected to take for sealing here: N is doubled until it costs a second."""
    started = time.perf_counter()
    hashlib.scrypt(b"", salt=b"", n=1024, r=8, p=1)
    seconds, log_n = time.perf_counter() - started, 10
    while seconds < 1 and log_n < MAX_LOG_N:
        seconds, log_n = seconds * 2, log_n + 1
    return scrypt_memory(log_n)


def _run(verb: str, data: bytes, passphrase: Passphrase, source: str, needed: int, room: Room) -> bytes:
    request = {"verb": verb, "data": base64.b64encode(data).decode(), "passphrase": passphrase.reveal()}
    done = subprocess.run(
        [sys.executable, "-P", str(Path(scrypt_worker.__file__))],
        input=json.dumps(request).encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode in _KILLED_FOR_MEMORY or "MemoryError" in said:
        raise _no_room(verb, source, needed, room)
    if done.returncode != scrypt_worker.REFUSED:
        raise Unavailable(f"cannot {verb} {source}", why=said.rpartition("\n")[2])
    raise _refusal(source, said)


def _refusal(source: str, said: str) -> KeysteadError:
    if said.startswith(scrypt_worker.TOO_MUCH):
        return Unavailable(
            f"{source} was not opened: this machine is too busy",
            why="age believes that it would take longer than it should",
            mend="run the command again, best when other programs rest",
            code="too-busy",
        )
    if said != _WRONG:
        return damaged(source, f"age says: {said}")
    return BadInput(
        f"the passphrase does not open {source}",
        why="it is not the one that the key was sealed with",
        mend="type it again, or look into the file that was named as --passphrase-file",
        code="wrong-passphrase",
    )


def _no_room(verb: str, source: str, needed: int, room: Room) -> Unavailable:
    return Unavailable(
        f"cannot {verb} {source}: there is not enough memory",
        why=f"a passphrase takes about {needed >> 20} MiB, and {room.size >> 20} MiB are free {room.limit}",
        mend="end other programs or raise the limit; a key sealed to an age identity opens without memory",
        code="no-memory",
    )
