"""What processes share: steps that exclude each other, whole lines, remarks that are made once."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from keystead.web.shared import Memory, SharedStream

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
