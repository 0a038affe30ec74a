"""Fetching one file: what has come of it is kept until it is whole and right. And the list of all of them."""

from __future__ import annotations

from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import Final

from keystead.errors import BadInput, KeysteadError
from keystead.subscriber.fileclient.connection import Connection, Fields, Head
from keystead.subscriber.fileclient.onlooker import Onlooker
from keystead.subscriber.fileclient.parts import Part, check_absent, sweep
from keystead.subscriber.fileclient.persistence import persist
from keystead.wire.files import (
    MAX_ANSWER,
    PATH,
    Entry,
    Receipt,
    check_file_name,
    etag_of,
    parse_digest_field,
    parse_list,
    target_of,
)
from keystead.wire.tus import PATH as UPLOADS
from keystead.wire.tus import Pending
from keystead.wire.tus import parse_list as parse_unfinished

_MEND: Final = "type the same command again: it goes on where it was"


def list_files(connection: Connection) -> tuple[Entry, ...]:
    """The files that the server keeps for this identity."""
    answer = connection.ask("GET", PATH, limit=MAX_ANSWER)
    return parse_list(answer.body)


def list_unfinished(connection: Connection) -> tuple[Pending, ...]:
    """The uploads of this identity that have not come whole."""
    return parse_unfinished(connection.ask("GET", UPLOADS, limit=MAX_ANSWER).body)


def fetch(connection: Connection, name: str, folder: Path, onlooker: Onlooker, *, overwrite: bool) -> Receipt:
    """Put the server's file ``name`` into ``folder``, mode 0600; what was written, verified.

    Raises `AlreadyThere` where a file of that name is there and not to be overwritten, and `BadInput` where
    the octets are not those that the server announced; then nothing is left behind. Where it breaks off, what
    has come stays beside, hidden, and the next `fetch` goes on with it.
    """
    path = folder / check_file_name(name)
    if not overwrite:
        check_absent(path)
    with closing(_Fetching(connection, path, onlooker)) as fetching:
        part = persist(connection, fetching.attempt, lambda: fetching.reached, onlooker, _MEND)
        part.check(name)
        part.appear(path, overwrite=overwrite)
        sweep(path)
        return Receipt(name, part.size, part.wanted)


class _Fetching:
    """The part that is there, and what brings it further."""

    def __init__(self, connection: Connection, path: Path, onlooker: Onlooker) -> None:
        self._connection = connection
        self._path = path
        self._onlooker = onlooker
        self._part = Part.find(path)
        self._whole: int | None = None

    @property
    def reached(self) -> int:
        """How many octets are here."""
        return self._part.size if self._part is not None else 0

    def attempt(self) -> Part:
        """The part, whole; raises what the connection does, and what came until then is kept."""
        if self._part is not None and self._part.size == self._whole:
            return self._part  # the connection broke at the very end
        try:
            head, blocks = self._connection.stream(target_of(self._path.name), self._wishes())
        except KeysteadError as error:
            if error.code == "no-such-file" and self._part is not None:
                self._part.discard()
            raise
        with closing(blocks):
            part = self._part = self._fitting(head)
            for block in blocks:
                part.write(block)
                self._onlooker.stands_at(part.size)
        return part

    def close(self) -> None:
        """Let the part go."""
        if self._part is not None:
            self._part.close()

    def _wishes(self) -> Fields:
        if self._part is None or not self._part.size:
            return ()
        # Where the file is another one by now, If-Range makes the server send all of it.
        return (("Range", f"bytes={self._part.size}-"), ("If-Range", etag_of(self._part.wanted)))

    def _fitting(self, head: Head) -> Part:
        """The part that the body of this answer continues."""
        wanted, part = _announced(head), self._part
        if head.status == HTTPStatus.OK:
            self._whole = head.length
            self._onlooker.begins(self._whole)
            if part is not None:
                if part.size:
                    self._onlooker.begins_anew()
                part.discard()
            sweep(self._path)
            return Part.begin(self._path, wanted)
        if head.status != HTTPStatus.PARTIAL_CONTENT or part is None or part.wanted != wanted:
            raise _not_as_asked(self._path.name, head)
        start, _, whole = head.fields.get("content-range", "").removeprefix("bytes ").partition("/")
        if start.partition("-")[0] != str(part.size) or not whole.isdecimal() or len(whole) > 18:
            raise _not_as_asked(self._path.name, head)
        self._whole = int(whole)
        self._onlooker.begins(self._whole)
        self._onlooker.goes_on(part.size, self._whole)
        return part


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


def _not_as_asked(name: str, head: Head) -> BadInput:
    return BadInput(
        f"{name!r} is not fetched: the server answered {head.status}",
        why="neither the whole file came nor the part that was asked for",
        mend="tell whoever runs the server",
        code="bad-answer",
    )
