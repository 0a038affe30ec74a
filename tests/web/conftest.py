from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from keystead.pki.certificates import load_certificates, to_pem
from keystead.pki.names import TrustDomain
from keystead.tls.contexts import ServerCredentials
from keystead.tls.reloading import CredentialSource
from keystead.web.server import serving
from tests.tls.rawclient import RawClient
from tests.tls.throwaway import Environment, Pair


@dataclass
class Folder:
    """A server's files on the disk, as `keystead install` would leave them."""

    path: Path
    env: Environment

    def write(self, name: str, data: bytes) -> None:
        """Atomically, as keystead writes."""
        beside = self.path / f".{name}.new"
        beside.write_bytes(data)
        beside.replace(self.path / name)

    def install(self, pair: Pair) -> None:
        self.write("web.key", pair.key_pem)
        self.write("web.crt", pair.chain_pem)

    @property
    def source(self) -> CredentialSource:
        names = ("web.crt", "web.key", "ca.crt")
        return CredentialSource(self.load, tuple(self.path / name for name in names), self.path / "crl.pem")

    def load(self) -> ServerCredentials:
        anchors = load_certificates((self.path / "ca.crt").read_bytes(), "ca.crt")
        chain = (self.path / "web.crt").read_bytes()
        return ServerCredentials(chain, (self.path / "web.key").read_bytes(), anchors, self.env.trust_domain)


class Lines(io.StringIO):
    """The server's log, as it is written."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        with self._lock:
            return super().write(text)

    def events(self, event: str) -> list[dict[str, Any]]:
        with self._lock:
            text = self.getvalue()
        found = [json.loads(line) for line in text.split("\n")[:-1]]
        return [line for line in found if line["event"] == event]


@pytest.fixture(scope="session")
def dev() -> Environment:
    return Environment(TrustDomain("dev.example.internal"))


@pytest.fixture(scope="session")
def prod() -> Environment:
    return Environment(TrustDomain("prod.example.internal"))


@pytest.fixture(scope="session")
def alice(dev: Environment) -> Pair:
    return dev.leaf("alice")


@pytest.fixture
def folder(tmp_path: Path, dev: Environment) -> Folder:
    made = Folder(tmp_path, dev)
    made.install(dev.leaf("web", "server"))
    made.write("ca.crt", to_pem(dev.root.certificate))
    made.write("crl.pem", dev.crl_pem())
    return made


@dataclass
class Served:
    """A running server, as a test sees it."""

    port: int
    log: Lines

    def client(self, pair: Pair, **options: Any) -> RawClient:
        return RawClient(self.port, pair.context, **options).handshake()


@pytest.fixture
def serve(folder: Folder) -> Callable[..., AbstractContextManager[Served]]:
    """A context manager that serves an app from ``folder``."""

    @contextmanager
    def make(app: Any, source: CredentialSource | None = None, **options: Any) -> Iterator[Served]:
        log = Lines()
        with serving(app, source or folder.source, log=log, **options) as addresses:
            yield Served(addresses[0].port, log)

    return make
