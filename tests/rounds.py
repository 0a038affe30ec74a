"""How often a test of chance is played: a few rounds in `make test`, a thousand in `make soak`, counted."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

SOAK = int(os.environ.get("KEYSTEAD_SOAK", "1000"))
SEED = os.environ.get("KEYSTEAD_SEED")
"""The first round's seed, as a failed test has printed it: KEYSTEAD_SEED=N pytest …"""


@dataclass(frozen=True)
class Rounds:
    """The rounds of one test; ``is_soak`` says whether they are to be many."""

    is_soak: bool

    def play(self, sample: int) -> Iterator[random.Random]:
        """A source of chance a round: ``sample`` of them, or as many as a soak has.

        Each round's seed is printed, which pytest shows where the test fails.
        """
        first = int(SEED) if SEED else random.SystemRandom().randrange(10**9)
        for number in range(SOAK if self.is_soak else sample):
            print(f"round {number}: KEYSTEAD_SEED={first + number}")
            yield random.Random(first + number)


in_sample_and_soak = pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(Rounds(is_soak=False), id="sample", marks=pytest.mark.slow),
        pytest.param(Rounds(is_soak=True), id="soak", marks=pytest.mark.soak),
    ],
)
"""A test with the argument ``rounds`` is one test of `make test` and one of `make soak`."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """After a soak, the table that bench/RESULTS.md keeps: what was played, and what its rounds printed."""
    soaks = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call" and report.nodeid.endswith("[soak]")
    ]
    if soaks:
        terminalreporter.section("soak")
        terminalreporter.line("| what | rounds | killed (of them exactly before a system call) | seconds | |")
        terminalreporter.line("|---|---|---|---|---|")
    for report in soaks:
        terminalreporter.line(_row(report))


def _row(report: pytest.TestReport) -> str:
    what = report.nodeid.partition("::test_")[2].removesuffix("[soak]").replace("_", " ")
    printed = report.capstdout.splitlines()
    rounds, killed, exactly = (
        sum(line.startswith(start) for line in printed) for start in ("round ", "killed ", "killed exactly ")
    )
    kills = f"{killed} ({exactly})" if killed else "–"
    return f"| {what} | {rounds} | {kills} | {report.duration:.0f} | {report.outcome} |"
