"""How long revocation takes, and what a large revocation list costs those who are being served meanwhile."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.lists import growing_lists
from bench.measure import run
from bench.stage import (
    CONNECTION_FILE,
    HOST,
    KEYSTEAD,
    LoadGenerator,
    Server,
    Stage,
    build_load_generator,
    build_stage,
    keystead_serving,
)
from keystead.pki.revocation import load_crls

_GET = f"/files/{CONNECTION_FILE}"
_STREAM_SECONDS = 5.0
_SWAP_AFTER = 1.0
_PAUSE = 0.005
_PATIENCE = 20.0


def race(place: Path, entries: int, rounds: int) -> str:
    """Both tables, as Markdown."""
    stage = build_stage(place)
    with keystead_serving(stage) as server:
        refusals = _race_to_refusal(stage, server, rounds)
        swaps = _pauses(stage, build_load_generator(stage), server, entries, rounds)
    return "\n".join([swaps, refusals])


# ---- the pause at a swap


def _pauses(stage: Stage, load: LoadGenerator, server: Server, entries: int, rounds: int) -> str:
    quiet: list[Any] = []
    swapped: list[Any] = []
    for lists in growing_lists(stage, entries, rounds):
        quiet.append(load.stream(server, _STREAM_SECONDS))
        swapped.append(_stream_over_swap(stage, load, server, lists))
    lines = [
        f"### A revocation list of {entries:,} entries comes into force while requests are answered",
        "",
        f"{rounds} rounds, interleaved, {_STREAM_SECONDS:.0f} s each: GETs of 1 KiB over one connection, one"
        " after the other; medians. That the new list was in force was looked at in each round.",
        "",
        "| | requests | median ms | longest ms |",
        "|---|---|---|---|",
        *(
            f"| {name} | {_median(streams, 'requests'):,.0f} | {_median(streams, 'median_ms'):.2f}"
            f" | {_median(streams, 'longest_ms'):.1f} |"
            for name, streams in (("nothing else happens", quiet), ("a swap in mid-stream", swapped))
        ),
    ]
    lines += ["", "Each round, longest ms:"]
    for name, streams in (("quiet", quiet), ("with a swap", swapped)):
        lines.append(f"- {name}: " + ", ".join(f"{stream['longest_ms']:.1f}" for stream in streams))
    return "\n".join([*lines, ""])


def _stream_over_swap(stage: Stage, load: LoadGenerator, server: Server, lists: bytes) -> Any:
    command = load.stream_command(server, _STREAM_SECONDS)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stream:
        time.sleep(_SWAP_AFTER)
        _publish(stage, lists)
        out, _ = stream.communicate(timeout=_STREAM_SECONDS + _PATIENCE)
    if stream.returncode != 0:
        raise RuntimeError("the swap broke a good connection")
    with _connected(stage, server, "alice") as connection:
        connection.request("GET", "/crl.pem")
        served = load_crls(connection.getresponse().read(), "the server's lists")
    if not all(crl in served for crl in load_crls(lists, "crl.pem")):
        raise RuntimeError("the new list did not come into force during the stream")
    return json.loads(out)


def _median(streams: list[Any], what: str) -> float:
    return median(float(stream[what]) for stream in streams)


# ---- from the command to the first refusal


@dataclass
class Watched:
    """Somebody who keeps on doing something until it fails; ``ended`` is when, on the monotonic clock."""

    step: Callable[[], None]
    done: int = 0
    ended: float = 0.0
    why: str = ""
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            while True:
                self.step()
                self.done += 1
                time.sleep(_PAUSE)
        except (OSError, http.client.HTTPException) as error:
            self.ended = time.monotonic()
            self.why = str(error) or type(error).__name__


def _race_to_refusal(stage: Stage, server: Server, rounds: int) -> str:
    ways = ("a new connection", "a request over a kept-alive one", "an upload in mid-body")
    from_command: dict[str, list[float]] = {way: [] for way in ways}
    from_file: dict[str, list[float]] = {way: [] for way in ways}
    whys: dict[str, str] = {}
    for number in range(rounds):
        name = f"client{number}"
        stage.certify(name)
        with ExitStack() as stack:
            steps = (
                _new_connection(stage, server, name),
                _kept_alive(stage, server, name, stack),
                _upload(stage, server, name, stack),
            )
            watched = dict(zip(ways, map(Watched, steps), strict=True))
            _await(watched, lambda it: it.done >= 3, "no request succeeded")
            begun = time.monotonic()
            run([KEYSTEAD, "ca", "revoke", name, "--reason", "keyCompromise", "--home", str(stage.home)])
            _publish(stage, (stage.home / "dev" / "crl.pem").read_bytes())
            brought = time.monotonic()
            _await(watched, lambda it: it.ended > 0, "a revoked client is still served")
            for way, it in watched.items():
                from_command[way].append(it.ended - begun)
                from_file[way].append(it.ended - brought)
                whys[way] = it.why
    lines = [
        "### From a revocation to the first refusal",
        "",
        f"{rounds} rounds, seconds, medians (worst). `crl.pem` is brought as soon as `ca revoke` has ended.",
        "",
        "| refused | after the start of `ca revoke` | after `crl.pem` was brought | what the client sees |",
        "|---|---|---|---|",
        *(
            f"| {way} | {median(from_command[way]):.2f} ({max(from_command[way]):.2f})"
            f" | {median(from_file[way]):.2f} ({max(from_file[way]):.2f}) | {whys[way]} |"
            for way in ways
        ),
    ]
    return "\n".join([*lines, ""])


def _new_connection(stage: Stage, server: Server, name: str) -> Callable[[], None]:
    def step() -> None:
        with _connected(stage, server, name) as connection:
            _get(connection)

    return step


def _kept_alive(stage: Stage, server: Server, name: str, stack: ExitStack) -> Callable[[], None]:
    connection = stack.enter_context(_connected(stage, server, name))
    return lambda: _get(connection)


def _upload(stage: Stage, server: Server, name: str, stack: ExitStack) -> Callable[[], None]:
    connection = stack.enter_context(_connected(stage, server, name))
    connection.putrequest("PUT", "/files/endless")
    connection.putheader("Content-Length", str(1 << 32))
    connection.endheaders()
    tls = connection.sock
    assert isinstance(tls, ssl.SSLSocket)

    def step() -> None:
        tls.sendall(bytes(1024))
        tls.settimeout(0)
        try:
            answer = tls.recv(4096)
        except ssl.SSLWantReadError:
            return
        finally:
            tls.settimeout(_PATIENCE)
        raise OSError(answer.partition(b"\r\n")[0].decode() or "the connection was closed")

    return step


def _get(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", _GET)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status not in (200, 404):  # of this client's there is no file: all the same, it is served
        raise OSError(f"HTTP {answer.status}, {json.loads(body)['type']}")


@contextmanager
def _connected(stage: Stage, server: Server, name: str) -> Iterator[http.client.HTTPSConnection]:
    folder = stage.folder(name)
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    connection = http.client.HTTPSConnection(HOST, server.port, context=context, timeout=_PATIENCE)
    try:
        connection.connect()
        yield connection
    finally:
        connection.close()


def _publish(stage: Stage, lists: bytes) -> None:
    """Put ``lists`` in place as one would over scp: a new name, then renamed."""
    place = stage.folder("server") / "crl.pem"
    arriving = place.with_name("crl.pem.arriving")
    arriving.write_bytes(lists)
    arriving.rename(place)


def _await(watched: Mapping[str, Watched], condition: Callable[[Watched], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not all(map(condition, watched.values())):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{otherwise}: {watched}")
        time.sleep(0.001)
