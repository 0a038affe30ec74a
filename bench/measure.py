"""Measuring: contestants run in turn, round by round, so that a noisy machine is noisy for all of them."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Sample:
    """One run: seconds on the clock, and of CPU in the processes that it started and waited for."""

    wall: float
    cpu: float

    def __add__(self, other: Sample) -> Sample:
        return Sample(self.wall + other.wall, self.cpu + other.cpu)


@dataclass
class Race:
    """Contestants by name, the first being what the others are compared with."""

    title: str
    unit: str
    amount: float
    contestants: Mapping[str, Callable[[], Sample | None]]
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def run(self, rounds: int) -> Race:
        """Run every contestant ``rounds`` times, in turn. One that returns a sample measured itself."""
        for _ in range(rounds):
            for name, contestant in self.contestants.items():
                before, start = children_cpu(), time.perf_counter()
                own = contestant()
                whole = Sample(time.perf_counter() - start, children_cpu() - before)
                self.samples.setdefault(name, []).append(own or whole)
        return self

    def wall(self, name: str) -> float:
        """The median of a contestant's seconds on the clock."""
        return median(sample.wall for sample in self.samples[name])

    def cpu(self, name: str) -> float:
        """The median of a contestant's seconds of CPU."""
        return median(sample.cpu for sample in self.samples[name])

    def report(self) -> str:
        """A Markdown section: medians, rates, and the ratio of each to the first."""
        first = next(iter(self.contestants))
        rounds = len(self.samples[first])
        lines = [
            f"### {self.title}",
            "",
            f"{rounds} rounds, interleaved; medians. The last columns are multiples of the first line's.",
            "",
            f"| | s | {self.unit}/s | CPU s | speed | CPU |",
            "|---|---|---|---|---|---|",
        ]
        for name in self.contestants:
            speed = self.wall(first) / self.wall(name)
            cpu = self.cpu(name) / self.cpu(first) if self.cpu(first) else float("nan")
            lines.append(
                f"| {name} | {self.wall(name):.3f} | {self.amount / self.wall(name):,.0f} |"
                f" {self.cpu(name):.3f} | {speed:.2f}× | {cpu:.2f}× |"
            )
        lines += ["", "Each round, seconds on the clock / of CPU:"]
        for name, samples in self.samples.items():
            lines.append(f"- {name}: " + ", ".join(f"{it.wall:.3f} / {it.cpu:.3f}" for it in samples))
        return "\n".join([*lines, ""])


def timed(work: Callable[[], object], server: int | None = None) -> Sample:
    """One sample of ``work``; CPU is that of the process ``server``, if given, else of the programs run."""

    def cpu() -> float:
        return children_cpu() if server is None else process_cpu(server)

    before, start = cpu(), time.perf_counter()
    work()
    return Sample(time.perf_counter() - start, cpu() - before)


def children_cpu() -> float:
    """Seconds of CPU of the programs that this process has run to their end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def process_cpu(pid: int) -> float:
    """Seconds of CPU that a running process has used, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory(pid: int) -> int:
    """The most memory that a running process ever had resident, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"process {pid} tells no VmHWM")


def run(command: Sequence[str], cwd: Path | None = None, **environment: str) -> str:
    """Run a program to its end, quietly; its standard output. Raises where it fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KEYSTEAD_")}
    done = subprocess.run(
        command, cwd=cwd, env=kept | environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done.stdout
