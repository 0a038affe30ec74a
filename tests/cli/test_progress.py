"""What is shown of a transfer: the truth, also where it goes on from the middle."""

from __future__ import annotations

import pytest
from rich.progress import Progress

from keystead.cli.progress import Told, _Bar
from keystead.errors import Unavailable

MIB = 1 << 20


def test_where_a_transfer_goes_on_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Told("big.iso").goes_on(3 * MIB, 4 * MIB)
    assert capsys.readouterr().err == "big.iso: goes on at 3.0 MiB of 4.0 MiB\n"


def test_a_failure_that_may_pass_is_a_line_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    Told("big.iso").waits(2.0, Unavailable("no connection to host:8443", why="nobody listens there"))
    Told("big.iso").waits(0.5, Unavailable("no connection"))
    assert capsys.readouterr().err.splitlines() == [
        "big.iso: no connection to host:8443: nobody listens there; trying again in 2 s",
        "big.iso: no connection; trying again in 0.5 s",
    ]


def test_a_bar_does_not_count_as_speed_what_was_there_before() -> None:
    bars = Progress(disable=True)
    bar = _Bar("big.iso", bars)
    bar.begins(4 * MIB)
    bar.goes_on(3 * MIB, 4 * MIB)
    (task,) = bars.tasks
    assert (task.completed, task.total, task.speed) == (3 * MIB, 4 * MIB, None)
    bar.stands_at(4 * MIB)
    assert task.finished


def test_a_bar_goes_back_where_a_part_is_dropped() -> None:
    bars = Progress(disable=True)
    bar = _Bar("big.iso", bars)
    bar.begins(4 * MIB)
    bar.stands_at(3 * MIB)
    bar.begins_anew()
    (task,) = bars.tasks
    assert (task.completed, task.total) == (0, 4 * MIB)
