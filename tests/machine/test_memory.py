"""How much memory there is, as files of the kernel say it."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from keystead.machine.memory import room

MIB = 1 << 20


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    write(tmp_path / "proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\nSwapFree: 1048576 kB\n")
    write(tmp_path / "proc/sys/vm/overcommit_memory", "0\n")
    write(tmp_path / "proc/self/cgroup", "0::/system.slice/keystead.service\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_what_is_available_counts_with_swap(machine: Path) -> None:
    assert room(machine).size == 5120 * MIB
    assert room(machine).limit == "on this machine"


@pytest.mark.parametrize("group", ["system.slice/keystead.service", "system.slice", "."])
def test_the_limit_of_a_group_or_of_one_above_it_holds(machine: Path, group: str) -> None:
    folder = machine / "sys/fs/cgroup" / group
    write(folder / "memory.max", f"{600 * MIB}\n")
    write(folder / "memory.current", f"{200 * MIB}\n")
    write(folder / "memory.stat", f"anon 1\ninactive_file {50 * MIB}\n")
    assert room(machine).size == 450 * MIB
    assert "container or service" in room(machine).limit


def test_a_group_without_a_limit_sets_none(machine: Path) -> None:
    write(machine / "sys/fs/cgroup/system.slice/memory.max", "max\n")
    write(machine / "sys/fs/cgroup/system.slice/memory.current", "1\n")
    assert room(machine).size == 5120 * MIB


def test_the_first_version_of_control_groups_is_read_too(machine: Path) -> None:
    write(machine / "proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/ab\n")
    folder = machine / "sys/fs/cgroup/memory"
    write(folder / "memory.limit_in_bytes", f"{512 * MIB}\n")
    write(folder / "memory.usage_in_bytes", f"{100 * MIB}\n")
    write(folder / "memory.stat", f"total_inactive_file {12 * MIB}\n")
    assert room(machine).size == 424 * MIB


def test_a_machine_that_never_overcommits_has_its_commit_limit(machine: Path) -> None:
    write(machine / "proc/sys/vm/overcommit_memory", "2\n")
    write(
        machine / "proc/meminfo",
        "MemAvailable: 4194304 kB\nCommitLimit: 2097152 kB\nCommitted_AS: 1048576 kB\n",
    )
    assert room(machine).size == 1024 * MIB


def test_where_nothing_can_be_read_nothing_is_limited(tmp_path: Path) -> None:
    assert room(tmp_path).size > 1 << 50


@pytest.mark.slow
def test_the_limit_of_the_shell_holds() -> None:
    limit = 300 * MIB
    answer = subprocess.run(
        [sys.executable, "-c", "from keystead.machine.memory import room; print(room())"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "ulimit -v" in answer.stdout
