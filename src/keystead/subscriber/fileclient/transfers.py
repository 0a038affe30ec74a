"""Several files at once: a few connections side by side, each taking the next file when it has done one.

Not here: what is done with a file (`sending`, `fetching`), and how progress is shown (`cli`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeVar

from keystead.errors import KeysteadError
from keystead.subscriber.fileclient.connection import Connection
from keystead.subscriber.fileclient.session import Session
from keystead.wire.files import Receipt

PARALLEL: Final = 4
"""Connections to one server: more gain nothing on one disk, and an address may have 100 in all."""

Job = TypeVar("Job")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Job]):
    """What became of one file: its receipt, or why there is none."""

    job: Job
    result: Receipt | KeysteadError


def transfer(
    session: Session, jobs: Sequence[Job], work: Callable[[Connection, Job], Receipt]
) -> Iterator[Outcome[Job]]:
    """Do ``work`` for each of ``jobs``; outcomes in the order in which they come about.

    ``work`` runs on threads. Where the iteration ends early, whatever is on its way is cut.
    """
    waiting: SimpleQueue[Job] = SimpleQueue()
    done: SimpleQueue[Outcome[Job] | BaseException] = SimpleQueue()
    for job in jobs:
        waiting.put(job)
    count = min(PARALLEL, len(jobs))
    connections = [session.first, *(session.connect() for _ in range(count - 1))][:count]
    with ExitStack() as at_end, ThreadPoolExecutor(max(1, count)) as pool:
        for connection in connections:
            at_end.callback(connection.close)  # after the pool's threads have ended
            pool.submit(_work_off, connection, waiting, done, work)
        try:
            for _ in jobs:
                outcome = done.get()
                if isinstance(outcome, BaseException):
                    raise outcome
                yield outcome
        except BaseException:
            _empty(waiting)
            for connection in connections:
                connection.abort()
            raise


def _work_off(
    connection: Connection,
    waiting: SimpleQueue[Job],
    done: SimpleQueue[Outcome[Job] | BaseException],
    work: Callable[[Connection, Job], Receipt],
) -> None:
    while True:
        try:
            job = waiting.get_nowait()
        except Empty:
            return
        try:
            done.put(Outcome(job, work(connection, job)))
        except KeysteadError as error:
            done.put(Outcome(job, error))
        except BaseException as error:  # noqa: BLE001  raised where it can be seen: on the caller's thread
            done.put(error)


def _empty(waiting: SimpleQueue[Job]) -> None:
    while not waiting.empty():
        waiting.get_nowait()
