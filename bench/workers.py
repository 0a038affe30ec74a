"""New mutual TLS connections to `keystead serve --workers 2`, and to nginx with two worker processes."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.handshakes import revoke_mallory, warm_up
from bench.measure import Race, Sample, peak_memory, process_cpu
from bench.stage import (
    LoadGenerator,
    Server,
    build_load_generator,
    build_stage,
    keystead_serving,
    nginx_serving,
)

_WORKERS = 2
_CLIENTS = 8


def race(place: Path, connections: int, rounds: int) -> str:
    """The race, as Markdown."""
    stage = build_stage(place)
    revoke_mallory(stage)
    load = build_load_generator(stage)
    with ExitStack() as stack:
        servers = {
            f"nginx, {_WORKERS} workers": stack.enter_context(nginx_serving(stage, _WORKERS)),
            f"`keystead serve --workers {_WORKERS}`": stack.enter_context(keystead_serving(stage, _WORKERS)),
            "`keystead serve`": stack.enter_context(keystead_serving(stage)),
        }
        for server in servers.values():
            warm_up(load, server)
        contestants = {name: partial(_connect, load, at, connections) for name, at in servers.items()}
        title = f"{connections:,} new mutual TLS 1.3 connections from {_CLIENTS} clients at once, two workers"
        report = Race(title, "connections", connections, contestants).run(rounds).report()
        shares = {name: _shares(server) for name, server in servers.items()}
        memory = {name: _memory(server) for name, server in servers.items()}
    lines = (
        f"- {name}: CPU by worker {shares[name]}; peak memory by worker {memory[name]}" for name in servers
    )
    return "\n".join([report, "CPU is the workers' together; the clients run on the same cores.", *lines, ""])


def _connect(load: LoadGenerator, server: Server, connections: int) -> Sample:
    before = _cpu(server)
    answer = load.connect(server, connections, processes=_CLIENTS)
    if answer["failed"]:
        raise RuntimeError(f"{answer['failed']} connections to {server.url} failed")
    return Sample(answer["seconds"], _cpu(server) - before)


def _cpu(server: Server) -> float:
    return sum(map(process_cpu, server.pids))


def _shares(server: Server) -> str:
    return " / ".join(f"{process_cpu(pid) / _cpu(server):.0%}" for pid in server.pids)


def _memory(server: Server) -> str:
    return " / ".join(f"{peak_memory(pid) / 2**20:.0f} MiB" for pid in server.pids)
