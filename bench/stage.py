"""What the server races share: certificates that keystead made itself, and both servers, running.

Every server listens on loopback, writes into the stage's folder alone, and is stopped by its own pid.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import run

KEYSTEAD = str(Path(sys.executable).with_name("keystead"))
HOST = "127.0.0.1"
CONNECTION_FILE = "small"
"""The file that is fetched over new connections and in streams."""

_SMALL = bytes(range(256)) * 4
_PATIENCE = 30.0

_NGINX = """\
daemon off;
{user}
worker_processes {workers};
pid {place}/nginx.pid;
error_log {place}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log {place}/access.log;
    default_type application/octet-stream;
    sendfile on;
    client_max_body_size 0;
    client_body_buffer_size 1m;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/unused;
    fastcgi_temp_path {place}/unused;
    uwsgi_temp_path {place}/unused;
    scgi_temp_path {place}/unused;
    server {{
        listen {host}:{port} ssl;
        ssl_certificate {server}/server.crt;
        ssl_certificate_key {server}/server.key;
        ssl_protocols TLSv1.3;
        ssl_client_certificate {server}/ca.crt;
        ssl_verify_client on;
        ssl_verify_depth 2;
        ssl_crl {server}/crl.pem;
        ssl_session_tickets off;
        ssl_session_cache off;
        location / {{
            root {place}/root;
            dav_methods PUT DELETE;
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Server:
    """A server that runs: where it listens, the processes that do the work, and where its files lie."""

    port: int
    pids: tuple[int, ...]
    files: Path

    @property
    def pid(self) -> int:
        """The process that does the work, where it is one."""
        (pid,) = self.pids
        return pid

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"https://{HOST}:{self.port}"


@dataclass(frozen=True)
class Stage:
    """A CA of the environment dev in ``place``/home, and folders of certificates named after their owners."""

    place: Path

    @property
    def home(self) -> Path:
        """The CA machine's home."""
        return self.place / "home"

    def folder(self, name: str) -> Path:
        """The folder of ``name``'s key and certificate."""
        return self.place / name

    def certify(self, name: str, profile: str = "client") -> None:
        """Make, sign and install a certificate for ``name``."""
        folder = self.folder(name)
        csr, home = folder / f"{name}.csr", str(self.home)
        sans = ("--san", "localhost") if profile == "server" else ()
        run([KEYSTEAD, "csr", name, "--profile", profile, "--dir", str(folder), *sans])
        run(
            [
                KEYSTEAD,
                "ca",
                "sign",
                str(csr),
                "--home",
                home,
                "--profile",
                profile,
                "--out",
                str(self.outbox),
            ]
        )
        run([KEYSTEAD, "install", str(self.outbox / f"{name}.pem"), "--dir", str(folder)])

    @property
    def outbox(self) -> Path:
        """Where the CA hands out."""
        return self.place / "outbox"

    def curl(self, name: str, *words: str) -> list[str]:
        """A curl command as ``name``, which fails where the server does not answer 2xx."""
        folder = self.folder(name)
        identity = ("--cert", f"{folder}/{name}.crt", "--key", f"{folder}/{name}.key")
        return ["curl", "-sS", "--fail-with-body", "--cacert", f"{folder}/ca.crt", *identity, *words]


def build_stage(place: Path) -> Stage:
    """A CA, a server and the client ``alice``."""
    stage = Stage(place)
    run([KEYSTEAD, "ca", "init", "--no-passphrase", "--home", str(stage.home)])
    stage.certify("server", "server")
    stage.certify("alice")
    return stage


@dataclass(frozen=True)
class LoadGenerator:
    """bench/load.c, compiled; it verifies the server."""

    program: Path
    stage: Stage

    def connect(self, server: Server, connections: int, *, name: str = "alice", processes: int = 2) -> Any:
        """Open so many new connections with a GET each, over so many processes; what load.c prints."""
        return self._run("connect", server, name, str(processes), str(connections // processes))

    def stream(self, server: Server, seconds: float) -> Any:
        """GETs over one connection, for so long; what load.c prints."""
        return json.loads(run(self.stream_command(server, seconds)))

    def stream_command(self, server: Server, seconds: float) -> list[str]:
        """The command of a stream, for whoever does something meanwhile."""
        return self._command("stream", server, "alice", str(seconds))

    def _run(self, mode: str, server: Server, name: str, *words: str) -> Any:
        return json.loads(run(self._command(mode, server, name, *words)))

    def _command(self, mode: str, server: Server, name: str, *words: str) -> list[str]:
        folder = self.stage.folder(name)
        files = [str(folder / file) for file in ("ca.crt", f"{name}.crt", f"{name}.key")]
        return [str(self.program), mode, str(server.port), *files, f"/files/{CONNECTION_FILE}", *words]


def build_load_generator(stage: Stage) -> LoadGenerator:
    """Compile the load generator into the stage's folder."""
    program = stage.place / "load"
    source = str(Path(__file__).with_name("load.c"))
    run(["gcc", "-O2", "-Wall", "-o", str(program), source, "-lssl", "-lcrypto"])
    return LoadGenerator(program, stage)


@contextmanager
def keystead_serving(stage: Stage, workers: int = 1) -> Iterator[Server]:
    """`keystead serve` for the time of the body, with the small file of alice's in place."""
    uploads, log = stage.place / "uploads", stage.place / "serve.log"
    command = [KEYSTEAD, "serve", "--dir", str(stage.folder("server")), "--listen", f"{HOST}:0"]
    command += ["--uploads", str(uploads), "--log", str(log), "--workers", str(workers)]
    with _running(command, stdout=subprocess.PIPE) as process:
        port = _announced_port(process)
        pids = (process.pid,) if workers == 1 else _children(process.pid, workers)
        server = Server(port, pids, uploads)
        small = stage.place / CONNECTION_FILE
        small.write_bytes(_SMALL)
        run([KEYSTEAD, "upload", str(small), "--dir", str(stage.folder("alice")), "--to", server.url])
        yield server


@contextmanager
def nginx_serving(stage: Stage, workers: int = 1) -> Iterator[Server]:
    """nginx for the time of the body, with the same certificates, lists and small file."""
    place = stage.place / "nginx"
    files = place / "root" / "files"
    files.mkdir(parents=True, exist_ok=True)
    (files / CONNECTION_FILE).write_bytes(_SMALL)
    port = _free_port()
    config = place / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # the keys are 0600
    config.write_text(
        _NGINX.format(
            place=place, host=HOST, port=port, server=stage.folder("server"), user=user, workers=workers
        )
    )
    command = ["nginx", "-p", str(place), "-c", str(config), "-e", str(place / "error.log")]
    with _running(command) as master:
        _await_port(port, master, place / "error.log")
        yield Server(port, _children(master.pid, workers), files)


@contextmanager
def _running(command: list[str], stdout: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[str]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KEYSTEAD_")}
    with subprocess.Popen(command, env=kept, stdout=stdout, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def _announced_port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(rf"https://{re.escape(HOST)}:(\d+)", line):
            return int(found[1])
    raise RuntimeError("keystead serve did not start")


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _await_port(port: int, process: subprocess.Popen[str], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((HOST, port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"nginx did not start: {log.read_text()[-2000:] if log.exists() else 'no log'}")


def _children(pid: int, count: int) -> tuple[int, ...]:
    """The workers of a master; they may not be there in the first instant."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if len(children) == count:
            return tuple(map(int, children))
        time.sleep(0.02)
    raise RuntimeError(f"process {pid} has not {count} workers")
