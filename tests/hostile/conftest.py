"""A server under attack: `keystead serve`, an innocent client and an attacker, each a process of its own."""

from __future__ import annotations

import json
import multiprocessing
import re
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import PATIENCE, Machine, Server
from tests.hostile.attacks_tls import Attack, half_open
from tests.hostile.innocent import Caller, Experience, live
from tests.rounds import SOAK

SAMPLE_SECONDS = 0.35
SOAK_SECONDS = SOAK / 50
"""How long an attack goes on: twenty seconds in a whole soak."""

ROW = "under attack"
"""The name under which a test leaves its line for the table."""


@dataclass(frozen=True)
class Vitals:
    """What a process holds: resident memory in MiB, and open descriptors."""

    memory: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> Vitals:
        status = Path(f"/proc/{pid}/status").read_text()
        resident = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert resident, "the server has died"
        return cls(int(resident[1]) // 1024, len(list(Path(f"/proc/{pid}/fd").iterdir())))


@dataclass(frozen=True)
class Siege:
    """The server, who is innocent (alice), who attacks (mallory), and the processes that they live in."""

    server: Server
    uploads: Path
    alice: Caller
    mallory: Caller
    innocents: ProcessPoolExecutor
    attackers: ProcessPoolExecutor

    def vitals(self) -> Vitals:
        return Vitals.of(self.server.process.pid)

    def settled(self, descriptors: int) -> Vitals:
        """The vitals once the descriptors are no more than that, or no fewer after a while."""
        deadline = time.monotonic() + PATIENCE / 2
        while (now := self.vitals()).descriptors > descriptors and time.monotonic() < deadline:
            time.sleep(0.02)
        return now

    def quiet(self, seconds: float) -> Experience:
        """What an innocent client sees while nobody attacks."""
        return self.innocents.submit(live, self.alice, seconds).result(seconds + PATIENCE)

    def attacked(self, attack: Attack, seconds: float) -> tuple[Experience, int]:
        """What it sees during an attack, and how often the attacker struck."""
        attacking = self.attackers.submit(attack, self.mallory, time.monotonic() + seconds)
        seen = self.quiet(seconds)
        return seen, attacking.result(seconds + PATIENCE)

    def mistakes(self) -> list[str]:
        """The lines of the server's log that tell of a mistake of its own."""
        lines = [
            json.loads(line) for line in self.server.log.read_text().splitlines() if line.startswith("{")
        ]
        return [str(line) for line in lines if line["event"] == "failure" or line.get("status") == 500]

    def asked_for(self, path: str) -> list[dict[str, object]]:
        """The requests for ``path`` in the server's log."""
        lines = (
            json.loads(line) for line in self.server.log.read_text().splitlines() if line.startswith("{")
        )
        return [line for line in lines if line["event"] == "request" and line["path"] == path]


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    """A server, and those who live around it."""
    machine = Machine(tmp_path_factory.mktemp("siege"))
    machine.ok("ca", "init", "--no-passphrase")
    for name, profile in (("web", "server"), ("alice", "client"), ("mallory", "client")):
        machine.ok("csr", name, "--profile", profile, "--dir", name)
        machine.ok("ca", "sign", f"{name}/{name}.csr", "--profile", profile, "--out", "out")
        machine.ok("install", f"out/{name}.pem", "--dir", name)
    spawn = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, spawn) as innocents,
        ProcessPoolExecutor(1, spawn) as attackers,
        machine.serving("--dir", "web", "--uploads", "uploads", "--keep-free", "0") as server,
    ):
        alice, mallory = (
            Caller.of(server.port, machine.folder / name, name) for name in ("alice", "mallory")
        )
        begun = Siege(server, machine.folder / "uploads", alice, mallory, innocents, attackers)
        begun.attacked(half_open, SAMPLE_SECONDS)  # only after hundreds does the allocator find its size
        yield begun


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table that bench/RESULTS.md keeps under "Under attack"."""
    rows = [
        dict(report.user_properties)[ROW]
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        if report.when == "call" and ROW in dict(report.user_properties)
    ]
    if rows:
        terminalreporter.section(ROW)
        terminalreporter.line(
            "| attack | strikes | ms of a new connection: quiet | under attack | ms of a kept one: quiet"
            " | under attack | memory | descriptors |"
        )
        terminalreporter.line("|---|---|---|---|---|---|---|---|")
    for row in rows:
        terminalreporter.line(str(row))
