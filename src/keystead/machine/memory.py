"""How much memory a new process may still take, by every limit that holds here.

Not here: what needs it. A limit that cannot be read is taken for none.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_START = 48 << 20
"""Bytes that a Python process has taken before it does anything."""


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that may still be taken, and what sets the limit, as the end of "… are free"."""

    size: int
    limit: str


def room(root: Path = Path("/")) -> Room:
    """The tightest limit; ``root`` is where ``proc`` and ``sys`` are mounted."""
    limits = (*_process_limits(), *_machine(root / "proc"), *_control_groups(root))
    return min(limits, key=lambda found: found.size, default=Room(1 << 62, "on this machine"))


def _process_limits() -> Iterator[Room]:
    for kind, flag in ((resource.RLIMIT_AS, "-v"), (resource.RLIMIT_DATA, "-d")):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            yield Room(max(0, soft - _START), f"under the limit of this shell (ulimit {flag})")


def _machine(proc: Path) -> Iterator[Room]:
    lines = (line.split() for line in _text(proc / "meminfo").splitlines())
    amounts = {words[0]: int(words[1]) << 10 for words in lines if len(words) > 1}
    if "MemAvailable:" in amounts:
        yield Room(amounts["MemAvailable:"] + amounts.get("SwapFree:", 0), "on this machine")
    strict = _text(proc / "sys/vm/overcommit_memory").strip() == "2"
    if strict and "CommitLimit:" in amounts:
        left = amounts["CommitLimit:"] - amounts.get("Committed_AS:", 0)
        yield Room(max(0, left), "under this machine's commit limit (vm.overcommit_memory=2)")


@dataclass(frozen=True, slots=True)
class _Names:
    """What the files of one version of control groups are called; ``cache`` is given back under pressure."""

    mount: str
    limit: str
    usage: str
    cache: str


_V2 = _Names("", "memory.max", "memory.current", "inactive_file")
_V1 = _Names("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _control_groups(root: Path) -> Iterator[Room]:
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _control_group(root, _V2, path)
        elif "memory" in controllers.split(","):
            yield from _control_group(root, _V1, path)


def _control_group(root: Path, names: _Names, path: str) -> Iterator[Room]:
    inside = PurePosixPath(path.lstrip("/"))
    top = root / "sys/fs/cgroup" / names.mount
    # A limit of any group above holds too. In a container the path may not be mounted: then its top is.
    for folder in (top / inside, *(top / parent for parent in inside.parents)):
        limit, usage = _text(folder / names.limit).strip(), _text(folder / names.usage).strip()
        if limit.isdecimal() and usage.isdecimal():
            free = int(limit) - int(usage) + _cache(folder / "memory.stat", names.cache)
            yield Room(max(0, free), "under the memory limit of this container or service")


def _cache(stat: Path, key: str) -> int:
    lines = (line.split() for line in _text(stat).splitlines())
    return next((int(words[1]) for words in lines if len(words) == 2 and words[0] == key), 0)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
