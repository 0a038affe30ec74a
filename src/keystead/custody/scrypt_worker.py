"""Run as a program: seals or opens one age file with a passphrase, in a process of its own.

scrypt takes up to gigabytes; where they are not to be had, the library under pyrage aborts its process, or
the kernel kills it. That must not be the caller's. Two processes are also twice as fast as two threads:
pyrage keeps the interpreter's lock. Takes JSON on standard input, gives bytes on standard output, or the
reason on standard error and the exit status `REFUSED`.
"""

from __future__ import annotations

import base64
import json
import resource
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pyrage

from keystead.custody.header import read_header

REFUSED = 3

TOO_MUCH = "Excessive work parameter"
"""How age begins to say that opening would take too long, by what it believes of this machine."""

_LEAST_LOG_N = 18
_TRIES = 3
"""age picks the work factor, and the most that it opens, by timing itself once: on a busy machine too small,
so it is asked again."""


def _seal(data: bytes, passphrase: str) -> bytes:
    tries: list[tuple[int, bytes]] = []
    while len(tries) < _TRIES and (not tries or tries[-1][0] < _LEAST_LOG_N):
        sealed: bytes = pyrage.passphrase.encrypt(data, passphrase, armored=True)
        tries.append((read_header(sealed, "the sealed key").log_n or 0, sealed))
    return max(tries)[1]


def _open(data: bytes, passphrase: str) -> bytes:
    for _ in range(_TRIES):
        try:
            plain: bytes = pyrage.passphrase.decrypt(data, passphrase)
        except pyrage.DecryptError as error:
            if not str(error).startswith(TOO_MUCH):
                raise
            refusal = error
        else:
            return plain
    raise refusal


_VERBS: Mapping[str, Callable[[bytes, str], bytes]] = {"seal": _seal, "open": _open}


def main() -> int:
    """One request, one answer."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold the key
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # if one has to go, then this one
    request = json.load(sys.stdin)
    try:
        answer = _VERBS[request["verb"]](base64.b64decode(request["data"]), request["passphrase"])
    except (pyrage.DecryptError, pyrage.EncryptError) as error:
        sys.stderr.write(str(error))
        return REFUSED
    sys.stdout.buffer.write(answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
