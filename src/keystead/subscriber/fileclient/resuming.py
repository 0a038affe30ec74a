"""Sending a large file by tus: what the server has of it from before, in this run or another, is not sent.

Nothing is noted on this side. The server lists what is unfinished; and that a part over there is of the very
file here is proved by its SHA-256, which the server compares before it takes more (If-Match).
"""

from __future__ import annotations

from typing import Final

from keystead.errors import BadInput, KeysteadError
from keystead.subscriber.fileclient.connection import COMMIT_SECONDS, Answer, Connection, Fields, Head
from keystead.subscriber.fileclient.onlooker import Onlooker
from keystead.subscriber.fileclient.persistence import persist
from keystead.subscriber.fileclient.sources import Rest, Source
from keystead.wire.files import MAX_ANSWER, Receipt, etag_of, parse_digest_field
from keystead.wire.tus import (
    CHUNK_TYPE,
    PATH,
    VERSION,
    Metadata,
    Pending,
    parse_list,
    parse_location,
    parse_octets,
    target_of,
)

_MEND: Final = "type the same command again: it goes on where it was"

_BEGINNINGS: Final = 5
"""How often one attempt begins: once is usual, twice where there was a part of another file."""


class ResumableUpload:
    """One file on its way to the server; `send` once."""

    def __init__(self, connection: Connection, source: Source, onlooker: Onlooker) -> None:
        self._connection = connection
        self._source = source
        self._onlooker = onlooker
        self._id: str | None = None
        self._reached = 0

    def send(self) -> Receipt:
        """The server's receipt; raises `KeysteadError`."""
        return persist(self._connection, self._attempt, lambda: self._reached, self._onlooker, _MEND)

    def _attempt(self) -> Receipt:
        for _ in range(_BEGINNINGS):
            try:
                return self._go_on()
            except KeysteadError as error:
                if error.code == "offset-conflict":  # the server was still writing what came before
                    continue
                if error.code == "precondition-failed":  # what is there is of another file than this
                    self._drop(self._id)
                elif error.code != "no-such-upload":  # it has expired
                    raise
                self._id = None
        raise BadInput(
            f"the server loses {self._source.path.name} while it is being sent",
            why=f"{_BEGINNINGS} times it had something else of it than it had said",
            mend="look for another keystead upload of this file; or its --upload-expiry is too short",
            code="bad-answer",
        )

    def _go_on(self) -> Receipt:
        if self._id is None:
            self._id, self._reached = self._begin()
        else:
            head = self._ask("HEAD", target_of(self._id)).head
            self._reached = parse_octets(head.fields.get("upload-offset"), "Upload-Offset")
            if self._reached == self._source.length:
                self._source.move_to(self._reached)
                return self._receipt(head)
        self._source.move_to(self._reached)
        if self._reached:
            self._onlooker.goes_on(self._reached, self._source.length)
        return self._receipt(self._send_rest(self._id))

    def _begin(self) -> tuple[str, int]:
        """An upload to go on with, and from where: one that the server has a part of, or a new one."""
        fitting = [upload for upload in self._unfinished() if upload.length == self._source.length]
        if fitting:
            furthest = max(fitting, key=lambda upload: upload.offset)
            return furthest.id, furthest.offset
        metadata = Metadata.of_file(self._source.path.name).to_field()
        fields = (("Upload-Length", str(self._source.length)), ("Upload-Metadata", metadata))
        answer = self._ask("POST", PATH, fields)
        return parse_location(answer.head.fields.get("location", "")), 0

    def _unfinished(self) -> list[Pending]:
        """What the server has of files of this name; of another length it is of another file, and goes."""
        name, found = self._source.path.name, []
        for upload in parse_list(self._connection.ask("GET", PATH, limit=MAX_ANSWER).body):
            if upload.name != name or upload.is_busy:
                continue
            if upload.length == self._source.length:
                found.append(upload)
            else:
                self._drop(upload.id)
        return found

    def _drop(self, upload_id: str | None) -> None:
        if upload_id is not None:
            self._onlooker.begins_anew()
            self._ask("DELETE", target_of(upload_id))

    def _send_rest(self, upload_id: str) -> Head:
        fields = [("Content-Type", CHUNK_TYPE), ("Upload-Offset", str(self._reached))]
        if not self._reached:
            return self._ask("PATCH", target_of(upload_id), fields, Rest(self._source, self._onlooker)).head
        fields.append(("If-Match", etag_of(self._source.digest())))
        # The server first reads what it has, and asks for more only when that is what it is to be.
        rest = Rest(self._source, self._onlooker, patience=COMMIT_SECONDS)
        return self._ask("PATCH", target_of(upload_id), fields, rest).head

    def _receipt(self, head: Head) -> Receipt:
        try:
            is_whole = parse_octets(head.fields.get("upload-offset"), "Upload-Offset") == self._source.length
            digest = parse_digest_field(head.fields.get("repr-digest", ""))
        except BadInput:
            is_whole = False
        if not is_whole:
            raise BadInput(
                f"the server does not say that it has {self._source.path.name} whole",
                why=f"its answer has status {head.status}, and no offset and digest of all of it",
                mend=_MEND,
                code="bad-answer",
            )
        return Receipt(self._source.path.name, self._source.length, digest)

    def _ask(self, method: str, target: str, fields: Fields = (), body: Rest | None = None) -> Answer:
        return self._connection.ask(method, target, (("Tus-Resumable", VERSION), *fields), body)
