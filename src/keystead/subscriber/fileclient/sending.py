"""Sending one file: hashed while it is sent, and compared with what the server says that it got.

A small file is sent whole, and again where the connection breaks; a large one is gone on with (`resuming`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from keystead.errors import BadInput
from keystead.subscriber.fileclient.connection import Connection
from keystead.subscriber.fileclient.onlooker import Onlooker
from keystead.subscriber.fileclient.persistence import persist
from keystead.subscriber.fileclient.resuming import ResumableUpload
from keystead.subscriber.fileclient.sources import Rest, Source, opened
from keystead.wire.files import Receipt, target_of

RESUMABLE: Final = 8 << 20
"""From this size on, in octets, more is saved by going on than is lost by asking where."""

_FIELDS: Final = (("Content-Type", "application/octet-stream"),)


def send(connection: Connection, path: Path, onlooker: Onlooker) -> Receipt:
    """Send the file ``path`` under its name; the server's receipt, compared with what was sent.

    Raises `KeysteadError`; the server then keeps what it had before, except where it keeps something else
    than was sent (``digest-mismatch``), which is said.
    """
    with opened(path) as source:
        onlooker.begins(source.length)
        if source.length < RESUMABLE:
            receipt = _send_whole(connection, source, onlooker)
        else:
            receipt = ResumableUpload(connection, source, onlooker).send()
        if (receipt.size, receipt.sha256) != (source.length, source.digest()):
            raise BadInput(
                f"{path} did not arrive as it was sent",
                why=f"its SHA-256 is {source.digest().hex()}, and the server has {receipt.sha256.hex()}",
                mend="send it again; do not trust what the server has under that name",
                code="digest-mismatch",
            )
    return receipt


def _send_whole(connection: Connection, source: Source, onlooker: Onlooker) -> Receipt:
    def attempt() -> Receipt:
        source.move_to(0)
        answer = connection.ask("PUT", target_of(source.path.name), _FIELDS, Rest(source, onlooker))
        return Receipt.parse(answer.body)

    return persist(connection, attempt, lambda: 0, onlooker, "type the same command again")
