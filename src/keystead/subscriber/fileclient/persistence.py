"""Trying again where the network or the server fails for a moment: after which errors, and how often.

Not here: how a transfer goes on where it was (`resuming`, `fetching`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from keystead.errors import KeysteadError, Unavailable
from keystead.subscriber.fileclient.connection import Connection
from keystead.subscriber.fileclient.onlooker import Onlooker

PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0)
"""Seconds until it is tried again, as long as nothing gets on: a minute, twice what a server waits for a
connection that is dead and that it does not know of."""

PASSING: Final = frozenset(
    {
        "cut",
        "timeout",
        "unreachable",
        "no-answer",
        "too-slow",
        "upload-busy",
        "http-502",
        "http-503",
        "http-504",
    }
)
"""The codes of errors that may be over in a moment."""

Result = TypeVar("Result")


def persist(
    connection: Connection,
    attempt: Callable[[], Result],
    reached: Callable[[], int],
    onlooker: Onlooker,
    mend: str,
) -> Result:
    """What ``attempt`` gives, tried again after errors that may pass; raises what it raises.

    ``reached`` says how many octets are done for good: as long as they become more, it is tried for ever. The
    error of the last attempt names ``mend``.
    """
    best, pauses = reached(), iter(PAUSES)
    while True:
        try:
            return attempt()
        except KeysteadError as error:
            if error.code not in PASSING:
                raise
            if reached() > best:
                best, pauses = reached(), iter(PAUSES)
            pause = next(pauses, None)
            if pause is None or connection.is_aborted:
                raise Unavailable(error.what, why=error.why, mend=mend, code=error.code) from None
            onlooker.waits(pause, error)
            connection.wait(pause)
