"""Large uploads: into `keystead serve` beside nginx, and by `keystead upload` beside curl."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from bench.measure import Race, Sample, peak_memory, run, timed
from bench.stage import KEYSTEAD, Server, Stage, build_stage, keystead_serving, nginx_serving

MIB = 1024 * 1024
_BIG = "big"


def race(place: Path, size_mib: int, rounds: int) -> str:
    """Both races and the memory used, as Markdown."""
    stage = build_stage(place)
    source = _make_file(place / _BIG, size_mib)
    with ExitStack() as stack:
        nginx = stack.enter_context(nginx_serving(stage))
        keystead = stack.enter_context(keystead_serving(stage))
        into = _race_of_servers(stage, source, nginx, keystead, rounds)
        peak_of_curl, peak_of_upload = [
            _peak(command) for command in (_curl(stage, source, keystead), _upload(stage, source, keystead))
        ]
        by = _race_of_clients(stage, source, keystead, rounds)
        peaks = {
            "nginx's worker": peak_memory(nginx.pid),
            "`keystead serve`": peak_memory(keystead.pid),
            "curl": peak_of_curl,
            "`keystead upload`": peak_of_upload,
        }
    rows = "\n".join(f"| {name} | {octets / MIB:.0f} |" for name, octets in peaks.items())
    memory = f"### Peak memory, {size_mib:,} MiB sent (VmHWM)\n\n| | MiB |\n|---|---|\n{rows}\n"
    return "\n".join([into, by, memory])


def _race_of_servers(stage: Stage, source: Path, nginx: Server, keystead: Server, rounds: int) -> str:
    digest = _sha256(source)
    stored = nginx.files / _BIG

    def put_to_nginx() -> Sample:
        _delete(stage, nginx)
        return timed(lambda: run(_curl(stage, source, nginx)), nginx.pid)

    def the_same_promise() -> Sample:
        return put_to_nginx() + timed(sync_and_sum)

    def sync_and_sum() -> None:
        run(["sync", "-d", str(stored)])
        if run(["sha256sum", str(stored)]).split()[0] != digest:
            raise RuntimeError("nginx stored something else than was sent")

    def alone() -> Sample:
        put = put_to_nginx()
        run(["sync", "-d", str(stored)])  # not timed: lest the next one pay for it
        return put

    def put_to_keystead() -> Sample:
        _delete(stage, keystead)
        answers: list[str] = []
        sample = timed(lambda: answers.append(run(_curl(stage, source, keystead))), keystead.pid)
        if json.loads(answers[0])["sha256"] != digest:
            raise RuntimeError("keystead serve stored something else than was sent")
        return sample

    contestants = {
        "nginx, then `sync -d` and `sha256sum`": the_same_promise,
        "`keystead serve` (synced, hashed)": put_to_keystead,
        "nginx alone (neither)": alone,
    }
    size = source.stat().st_size // MIB
    title = f"PUT of {size:,} MiB with curl, mutual TLS: the servers (CPU is theirs, sync and sum included)"
    return Race(title, "MiB", size, contestants).run(rounds).report()


def _race_of_clients(stage: Stage, source: Path, server: Server, rounds: int) -> str:
    def curl() -> Sample:
        _delete(stage, server)
        return timed(lambda: run(_curl(stage, source, server)))

    def upload() -> Sample:
        _delete(stage, server)
        return timed(lambda: run(_upload(stage, source, server)))

    size = source.stat().st_size // MIB
    title = f"Sending {size:,} MiB to `keystead serve`: the clients, from start to end (CPU is theirs)"
    return Race(title, "MiB", size, {"`curl -T`": curl, "`keystead upload`": upload}).run(rounds).report()


def _curl(stage: Stage, source: Path, server: Server) -> list[str]:
    return stage.curl("alice", "-T", str(source), f"{server.url}/files/{_BIG}")


def _upload(stage: Stage, source: Path, server: Server) -> list[str]:
    return [KEYSTEAD, "upload", str(source), "--dir", str(stage.folder("alice")), "--to", server.url]


def _delete(stage: Stage, server: Server) -> None:
    """Remove the file, if it is there: writing over a large one is slower, whoever does it."""
    subprocess.run(
        stage.curl("alice", "-X", "DELETE", f"{server.url}/files/{_BIG}"), capture_output=True, check=False
    )


def _peak(command: list[str]) -> int:
    """The peak memory of a program, in octets: the last that was seen before it ended."""
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                peak = peak_memory(process.pid)
            except (LookupError, OSError):  # it is ending
                break
            time.sleep(0.01)
    return peak


def _make_file(path: Path, size_mib: int) -> Path:
    block = os.urandom(MIB)
    with path.open("wb") as file:
        for _ in range(size_mib):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
