from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from typing import Any

import pytest

from keystead.errors import BadInput, Unavailable
from keystead.machine.forks import forked

LARGER_THAN_A_PIPE = 1_000_000


class Clerk:
    """What the tests let work in another process."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def keep(self, what: Any) -> Any:
        self.done.append(what)
        return what

    def kept(self) -> list[Any]:
        return self.done

    def refuse(self, what: str) -> None:
        raise BadInput(what, why="because", mend="so")

    def process(self) -> int:
        return os.getpid()


def test_the_work_is_done_in_another_process() -> None:
    with forked(Clerk()) as (clerk,):
        assert clerk.ask("process")() not in (os.getpid(), 0)


def test_answers_belong_to_their_questions_in_whatever_order_they_are_waited_for() -> None:
    with forked(Clerk()) as (clerk,):
        promises = [clerk.ask("keep", number) for number in range(5)]
        assert [promise() for promise in reversed(promises)] == [4, 3, 2, 1, 0]
        assert promises[2]() == 2  # again: it is kept
        assert clerk.ask("kept")() == [0, 1, 2, 3, 4]


def test_two_objects_work_side_by_side() -> None:
    with forked(Clerk(), Clerk()) as (one, other):
        first, second = one.ask("keep", "one"), other.ask("keep", "other")
        assert (second(), first()) == ("other", "one")
        assert one.ask("process")() != other.ask("process")()


def test_an_error_is_raised_where_its_answer_is_waited_for_and_the_work_goes_on() -> None:
    with forked(Clerk()) as (clerk,):
        refused = clerk.ask("refuse", "not that")
        kept = clerk.ask("keep", "this")
        with pytest.raises(BadInput) as error:
            refused()
        assert (error.value.what, error.value.why, error.value.mend) == ("not that", "because", "so")
        assert kept() == "this"


def test_questions_and_answers_that_fill_both_pipes_do_not_wait_for_each_other() -> None:
    with forked(Clerk()) as (clerk,):
        much = b"x" * LARGER_THAN_A_PIPE
        promises = [clerk.ask("keep", much) for _ in range(10)]
        assert all(promise() == much for promise in promises)


def test_a_process_that_was_killed_is_told_of() -> None:
    with forked(Clerk()) as (clerk,):
        os.kill(clerk.ask("process")(), signal.SIGKILL)
        with pytest.raises(Unavailable, match="worker process died"):
            clerk.ask("kept")()


def test_the_processes_end_with_the_body_also_where_answers_were_not_waited_for() -> None:
    before = set(multiprocessing.active_children())
    with forked(Clerk(), Clerk()) as (one, _):
        one.ask("keep", b"x" * LARGER_THAN_A_PIPE)
        assert len(set(multiprocessing.active_children()) - before) == 2
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.parametrize("trouble", [errno.EAGAIN, errno.ENOMEM])
def test_a_second_process_that_cannot_be_made_is_explained_and_the_first_ends(
    trouble: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, fork = set(multiprocessing.active_children()), os.fork
    made: list[int] = []

    def limited() -> int:
        if made:
            raise OSError(trouble, os.strerror(trouble))
        made.append(pid := fork())
        return pid

    monkeypatch.setattr(os, "fork", limited)
    with pytest.raises(Unavailable, match="no worker process") as refused, forked(Clerk(), Clerk()):
        pytest.fail("the body was run")
    assert os.strerror(trouble) in refused.value.why
    assert "ulimit -u" in refused.value.mend
    assert set(multiprocessing.active_children()) <= before
    with pytest.raises(ProcessLookupError):
        os.kill(made[0], 0)
