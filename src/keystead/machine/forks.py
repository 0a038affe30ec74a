"""Objects that work in processes of their own: asked in order, answering in order, while the asker goes on.

A fork inherits what its parent has, open keys too, so fork before a database or a thread is opened: neither
survives it. Not here: what the objects do.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from keystead.errors import Unavailable

T = TypeVar("T")

Promise = Callable[[], T]
"""Something that was begun: calling it waits for its end and gives, or raises, what came of it."""


class Fork:
    """An object in another process."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._begun: deque[Future[Any]] = deque()

    def ask(self, verb: str, *arguments: Any) -> Promise[Any]:
        """Begin ``object.verb(*arguments)``; what crosses is pickled. `Unavailable` where it is dead."""
        future: Future[Any] = Future()
        with _told():
            self._pipe.send((verb, arguments))
        self._begun.append(future)
        return lambda: self._wait(future)

    def _wait(self, future: Future[Any]) -> Any:
        while not future.done():
            with _told():
                succeeded, result = self._pipe.recv()
            begun = self._begun.popleft()
            (begun.set_result if succeeded else begun.set_exception)(result)
        return future.result()


@contextmanager
def forked(*objects: Any) -> Iterator[tuple[Fork, ...]]:
    """A `Fork` for each of ``objects``; their processes end with the body.

    `Unavailable` where the machine makes no more processes: those that were made are ended then.
    """
    pipes: list[Connection] = []
    processes: list[ForkProcess] = []
    try:
        for served in objects:
            process, pipe = _start(served, pipes)
            processes.append(process)
            pipes.append(pipe)
        yield tuple(map(Fork, pipes))
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join()


def _start(served: Any, others: Sequence[Connection]) -> tuple[ForkProcess, Connection]:
    context = multiprocessing.get_context("fork")
    with ExitStack() as stack:
        try:
            ours, theirs = context.Pipe()
            stack.callback(theirs.close)
            stack.callback(ours.close)
            process = context.Process(target=_serve, args=(served, theirs, [*others, ours]), daemon=True)
            process.start()
        except OSError as error:
            raise _no_process(error) from error
        stack.pop_all()
    theirs.close()
    return process, ours


def _no_process(error: OSError) -> Unavailable:
    return Unavailable(
        "no worker process can be made",
        why=f"{error.strerror}: this account's processes or open files, or memory, are at their limit",
        mend="end other programs, or raise the limit (look at: ulimit -u -n; free -m), then run it again",
        code="no-process",
    )


def _serve(served: Any, pipe: Connection, inherited: Sequence[Connection]) -> None:
    # Ctrl-C is the parent's to answer; a fork ends when its pipe does, so it must hold no copy of the ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for other in inherited:
        other.close()
    answers: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
    # Whoever answers must not stop reading meanwhile, or two full pipes would wait for each other.
    Thread(target=_send, args=(pipe, answers), daemon=True).start()
    try:
        while True:
            verb, arguments = pipe.recv()
            answers.put(_answer(getattr(served, verb), arguments))
    except (EOFError, OSError):
        os._exit(0)


def _send(pipe: Connection, answers: SimpleQueue[tuple[bool, Any]]) -> None:
    try:
        while True:
            pipe.send(answers.get())
    except OSError:
        os._exit(0)


def _answer(verb: Callable[..., Any], arguments: Sequence[Any]) -> tuple[bool, Any]:
    try:
        return True, verb(*arguments)
    except Exception as error:  # noqa: BLE001  it is raised where it was asked for
        return False, error


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise Unavailable(
            "a worker process died", why="it was killed, or memory ran out", mend="run the command again"
        ) from None
