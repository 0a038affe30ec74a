"""What processes share: steps that exclude each other, whole lines, remarks that are made once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from keystead.web.shared import PATIENCE_SECONDS, Memory, SharedStream

# The children use no thread of their parent's.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

PROCESSES = 4
STEPS = 500
LINE = "x" * 20_000 + "\n"


def in_processes(work: Callable[..., None], memory: Memory, *arguments: Any) -> None:
    """Have several processes do ``work``, each with the memory as it inherits it."""
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=work, args=(memory, number, *arguments)) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0


def add_slowly(memory: Memory, number: int) -> None:
    row = memory.row(0)
    for _ in range(STEPS):
        with memory.counting, memory.counting:  # whoever holds it may take it again
            before = row[0]
            if before % 50 == 0:
                time.sleep(0)
            row[0] = before + 1


def test_steps_of_several_processes_exclude_each_other() -> None:
    memory = Memory.create(PROCESSES)
    in_processes(add_slowly, memory)
    assert memory.row(0)[0] == PROCESSES * STEPS


def die_holding(memory: Memory, number: int) -> None:
    memory.counting.__enter__()
    os._exit(0)


def test_a_lock_ends_with_the_process_that_holds_it() -> None:
    memory = Memory.create(1)
    in_processes(die_holding, memory)
    with memory.counting:
        pass


def stop_holding(memory: Memory) -> None:
    with memory.counting, memory.writing:
        os.kill(os.getpid(), signal.SIGSTOP)


@contextmanager
def stopped_holder(memory: Memory) -> Iterator[Callable[[], None]]:
    """A process is stopped while it holds both locks; what is given has it go on to its end."""
    holder = multiprocessing.get_context("fork").Process(target=stop_holding, args=(memory,))
    holder.start()
    assert holder.pid is not None
    pid = holder.pid
    _, status = os.waitpid(pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)

    def go_on() -> None:
        os.kill(pid, signal.SIGCONT)
        holder.join(10)
        assert holder.exitcode == 0

    try:
        yield go_on
    finally:
        holder.kill()
        holder.join(10)


def seconds_to(work: Callable[[], Any]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


@pytest.mark.slow
def test_a_holder_that_is_stopped_holds_others_up_once_and_for_a_moment(tmp_path: Path) -> None:
    memory = Memory.create(1)
    memory.row(0)[5] = 7
    with (tmp_path / "log").open("w+") as log, stopped_holder(memory):
        stream = SharedStream(log.fileno(), memory.writing)
        first = seconds_to(lambda: stream.write("one\n"))
        assert PATIENCE_SECONDS <= first < PATIENCE_SECONDS + 5
        assert seconds_to(lambda: stream.write("two\n")) < PATIENCE_SECONDS
        memory.clear(0)
        assert memory.row(0)[5] == 0
        log.seek(0)
        assert log.read() == "one\ntwo\n"


@pytest.mark.slow
def test_a_lock_that_was_gone_without_is_held_again_once_its_holder_is_gone() -> None:
    memory = Memory.create(1)
    with stopped_holder(memory) as go_on:
        with memory.counting:
            assert not memory.counting.is_held
        go_on()
        with memory.counting:
            assert memory.counting.is_held


def write_lines(memory: Memory, number: int, descriptor: int) -> None:
    stream = SharedStream(descriptor, memory.writing)
    for _ in range(20):
        stream.write(f"{number}{LINE}")


@pytest.mark.slow
def test_lines_that_a_pipe_does_not_take_in_one_piece_are_whole() -> None:
    memory = Memory.create(PROCESSES)
    reading, writing = os.pipe()
    fork = multiprocessing.get_context("fork")
    writers = [
        fork.Process(target=write_lines, args=(memory, number, writing)) for number in range(PROCESSES)
    ]
    for writer in writers:
        writer.start()
    os.close(writing)
    with os.fdopen(reading) as stream:
        lines = stream.readlines()
    for writer in writers:
        writer.join()
    assert sorted(lines) == sorted(f"{number}{LINE}" for number in range(PROCESSES) for _ in range(20))


def test_what_another_worker_has_just_said_is_not_new() -> None:
    memory = Memory.create(2)
    assert memory.is_new(0, "the list is stale")
    assert not memory.is_new(1, "the list is stale")
    assert memory.is_new(1, "the key does not fit")


def test_what_one_says_again_is_new() -> None:
    memory = Memory.create(2)
    assert memory.is_new(0, "the list is stale")
    assert memory.is_new(0, "the list is stale")


def test_a_hundred_remarks_push_the_oldest_out() -> None:
    memory = Memory.create(2)
    for number in range(100):
        assert memory.is_new(0, f"remark {number}")
    assert not memory.is_new(1, "remark 99")
    assert memory.is_new(1, "remark 0")
