"""The instruments of this room: a kill comes when it is said to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crashes.forking import ForkingMachine
from tests.crashes.killing import Instant, instants_of, kill_after, kill_at
from tests.e2e.conftest import Machine

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", [Machine, ForkingMachine])
def test_a_command_is_killed_before_the_call_that_is_named(tmp_path: Path, kind: type[Machine]) -> None:
    machine = kind(tmp_path)
    csr = "csr", "alice", "--dir"
    instants = instants_of(machine, *csr, "whole")
    assert Instant("linkat", 1) in instants
    last = max(instant.number for instant in instants if instant.call == "linkat")
    assert kill_at(machine, Instant("linkat", last), *csr, "cut")
    assert not (machine.folder / "cut/alice.key").exists()
    assert not kill_at(machine, Instant("linkat", last + 1), *csr, "cut")
    assert (machine.folder / "cut/alice.key").exists()


@pytest.mark.parametrize("kind", [Machine, ForkingMachine])
def test_a_command_is_killed_when_its_time_is_up(tmp_path: Path, kind: type[Machine]) -> None:
    machine, csr = kind(tmp_path), ("csr", "alice", "--dir")
    assert kill_after(machine, 0, *csr, "cut")
    assert not (machine.folder / "cut/alice.csr").exists()
    assert not kill_after(machine, 30, *csr, "whole")
    assert (machine.folder / "whole/alice.csr").exists()


def test_what_is_forked_has_its_own_words_folder_environment_and_output(tmp_path: Path) -> None:
    machine = ForkingMachine(tmp_path)
    assert "--dir" in machine.ok("csr", "--help").out
    assert machine.run("csr", "alice", "--nonsense").code == 2
    refused = machine.refused("ca", "list", KEYSTEAD_ENV="staging")
    assert "staging" in refused.err
    assert str(tmp_path) in refused.err
