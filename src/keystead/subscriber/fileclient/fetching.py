"""Fetching one file: under a hidden name until it is whole and its digest is right. And the list of all."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path

from keystead.errors import AlreadyThere, BadInput
from keystead.machine.files import PRIVATE
from keystead.machine.oserrors import told
from keystead.subscriber.fileclient.connection import Connection, Head
from keystead.subscriber.fileclient.sending import Report
from keystead.wire.files import (
    MAX_ANSWER,
    PATH,
    Entry,
    Receipt,
    check_file_name,
    parse_digest_field,
    parse_list,
    target_of,
)

Begin = Callable[[int | None], Report]
"""Is told how long the file is, once that is known, and gives what is told of each step."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def list_files(connection: Connection) -> tuple[Entry, ...]:
    """The files that the server keeps for this identity."""
    answer = connection.ask("GET", PATH, limit=MAX_ANSWER)
    return parse_list(answer.body)


def fetch(connection: Connection, name: str, folder: Path, begin: Begin, *, overwrite: bool) -> Receipt:
    """Put the server's file ``name`` into ``folder``, mode 0600; what was written, verified.

    Raises `AlreadyThere` where a file of that name is there and not to be overwritten, and `BadInput` where
    the octets are not those that the server announced; then nothing is left behind.
    """
    path = folder / check_file_name(name)
    if not overwrite:
        _check_absent(path)
    head, blocks = connection.stream(target_of(name))
    with closing(blocks), _beside(path) as (descriptor, hidden):
        if head.status != HTTPStatus.OK:
            raise BadInput(
                f"{name!r} is not fetched: the server answered {head.status}",
                why="only 200 brings the whole file",
                mend="tell whoever runs the server",
                code="bad-answer",
            )
        wanted = _announced(head)
        size, hasher, report = 0, hashlib.sha256(), begin(head.length)
        for block in blocks:
            hasher.update(block)
            with told(path, "write"):
                _write_all(descriptor, block)
            size += len(block)
            report(len(block))
        if hasher.digest() != wanted:
            raise BadInput(
                f"{name!r} did not arrive as the server has it",
                why=f"its SHA-256 was to be {wanted.hex()}, and what came has {hasher.hexdigest()}",
                mend="fetch it again",
                code="digest-mismatch",
            )
        with told(path, "write"):
            os.fsync(descriptor)
            _appear(hidden, path, overwrite=overwrite)
    return Receipt(name, size, wanted)


def _announced(head: Head) -> bytes:
    try:
        return parse_digest_field(head.fields["repr-digest"])
    except (KeyError, BadInput):
        raise BadInput(
            "the server does not say which SHA-256 the file has",
            why="without it, nobody could tell whether it arrives as it is",
            mend="check that the address is that of a keystead serve (--to URL)",
            code="bad-answer",
        ) from None


def _check_absent(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise AlreadyThere(
            f"{path} is already there and is not overwritten",
            mend="move it away, name another folder (--out DIR), or say --overwrite",
        )


def _appear(hidden: Path, path: Path, *, overwrite: bool) -> None:
    if overwrite:
        hidden.replace(path)
        return
    try:
        path.hardlink_to(hidden)  # which, other than a rename, spares what has come there meanwhile
    except FileExistsError:
        _check_absent(path)
        raise


@contextmanager
def _beside(path: Path) -> Iterator[tuple[int, Path]]:
    hidden = path.with_name(f".{secrets.token_hex(8)}.part")
    with told(hidden, "write"):
        descriptor = os.open(hidden, _NEW, PRIVATE)
    try:
        yield descriptor, hidden
    finally:
        os.close(descriptor)
        with suppress(OSError):
            hidden.unlink(missing_ok=True)


def _write_all(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]
