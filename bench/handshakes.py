"""New connections: `keystead serve` beside nginx, a full mutual TLS handshake and one GET of 1 KiB each."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from bench.lists import ENTRIES, growing_lists
from bench.measure import Race, Sample, process_cpu, run
from bench.stage import (
    KEYSTEAD,
    LoadGenerator,
    Server,
    Stage,
    build_load_generator,
    build_stage,
    keystead_serving,
    nginx_serving,
)


def race(place: Path, connections: int, rounds: int) -> str:
    """Both races, as Markdown."""
    stage = build_stage(place)
    revoke_mallory(stage)
    load = build_load_generator(stage)
    title = f"{connections:,} new mutual TLS 1.3 connections, one GET of 1 KiB each"
    usual = _race(stage, load, title, connections, rounds)
    (stage.folder("server") / "crl.pem").write_bytes(next(growing_lists(stage, ENTRIES, 1)))
    fewer = max(100, connections // 5)
    title = f"{fewer:,} of them, where the issuing CA's revocation list has {ENTRIES:,} entries"
    return f"{usual}\n{_race(stage, load, title, fewer, rounds)}"


def _race(stage: Stage, load: LoadGenerator, title: str, connections: int, rounds: int) -> str:
    with ExitStack() as stack:
        servers = {
            "nginx": stack.enter_context(nginx_serving(stage)),
            "`keystead serve`": stack.enter_context(keystead_serving(stage)),
        }
        answers = {name: warm_up(load, server) for name, server in servers.items()}
        contestants = {name: partial(_connect, load, at, connections) for name, at in servers.items()}
        report = Race(title, "connections", connections, contestants).run(rounds).report()
    octets = ", ".join(f"{name} {answer['octets']}" for name, answer in answers.items())
    groups = sorted({answer["group"] for answer in answers.values()})
    return (
        f"{report}\nCPU is the server's. One worker each, the same certificates, no tickets, no sessions, an"
        f" access log line each, the CRLs of the whole chain checked (both refuse a revoked client; tried"
        f" before the race). Two clients at once, key exchange {', '.join(groups)}."
        f" Octets of one answer with its head: {octets}.\n"
    )


def revoke_mallory(stage: Stage) -> None:
    """Put a client that is revoked on the server's list."""
    stage.certify("mallory")
    run([KEYSTEAD, "ca", "revoke", "mallory", "--reason", "superseded", "--home", str(stage.home)])
    (stage.folder("server") / "crl.pem").write_bytes((stage.home / "dev" / "crl.pem").read_bytes())


def warm_up(load: LoadGenerator, server: Server) -> dict[str, Any]:
    """Some connections, and one of the revoked client, which must not succeed; what the others got."""
    revoked = load.connect(server, 1, name="mallory", processes=1)
    if revoked["ok"]:
        raise RuntimeError(f"{server.url} lets a revoked client in")
    answer: dict[str, Any] = load.connect(server, 100)
    return answer


def _connect(load: LoadGenerator, server: Server, connections: int) -> Sample:
    before = process_cpu(server.pid)
    answer = load.connect(server, connections)
    if answer["failed"]:
        raise RuntimeError(f"{answer['failed']} connections to {server.url} failed")
    return Sample(answer["seconds"], process_cpu(server.pid) - before)
