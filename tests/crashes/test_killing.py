"""The instruments of this room: a kill comes when it is said to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crashes.killing import Instant, instants_of, kill_after, kill_at
from tests.e2e.conftest import Machine

pytestmark = pytest.mark.slow


def test_a_command_is_killed_before_the_call_that_is_named(machine: Machine) -> None:
    csr = "csr", "alice", "--dir"
    instants = instants_of(machine, *csr, "whole")
    assert Instant("linkat", 1) in instants
    last = max(instant.number for instant in instants if instant.call == "linkat")
    assert kill_at(machine, Instant("linkat", last), *csr, "cut")
    assert not (machine.folder / "cut/alice.key").exists()
    assert not kill_at(machine, Instant("linkat", last + 1), *csr, "cut")
    assert (machine.folder / "cut/alice.key").exists()


def test_a_command_is_killed_when_its_time_is_up(machine: Machine, home: Path) -> None:
    assert kill_after(machine, 0.02, "ca", "audit", "--home", str(home))
    assert not kill_after(machine, 30, "ca", "audit", "--home", str(home))
