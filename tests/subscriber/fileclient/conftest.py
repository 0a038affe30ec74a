"""A real server on loopback over real folders, for the client's tests."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from keystead.machine.clock import system_clock
from keystead.pki.keys import KeyType
from keystead.subscriber.fileclient.address import ServerAddress
from keystead.subscriber.fileclient.session import Session, credentials_of, open_session
from keystead.subscriber.fileserver.app import make_app
from keystead.subscriber.fileserver.limits import UploadLimits
from keystead.subscriber.fileserver.material import open_material
from keystead.subscriber.fileserver.shelf import open_store
from keystead.subscriber.layout import Folder
from keystead.subscriber.roles import Role
from keystead.web.server import serving
from tests.subscriber.conftest import Subscribe
from tests.subscriber.throwaway_ca import ThrowawayCa


@dataclass
class Running:
    """A file server, and how its client gets at it."""

    address: ServerAddress
    uploads: Path
    folder: Folder
    log: io.StringIO
    remarks: list[str]

    @contextmanager
    def session(self, name: str = "alice", address: ServerAddress | None = None) -> Iterator[Session]:
        own = credentials_of(self.folder.path, name)
        session = open_session(own, address or self.address, system_clock, self.remarks.append)
        try:
            yield session
        finally:
            session.first.close()


@pytest.fixture(params=[KeyType.P256, pytest.param(KeyType.ML_DSA_65, marks=pytest.mark.slow)])
def key_type(request: pytest.FixtureRequest) -> KeyType:
    """All of it over Python's `ssl`, and over pyOpenSSL, which a post-quantum certificate asks for."""
    return KeyType(request.param)


Run = Callable[..., AbstractContextManager[Running]]


@pytest.fixture
def run(folder: Folder, subscribe: Subscribe, tmp_path: Path) -> Run:
    """Starts a server of its own certificate, in the folder where alice's lies too."""
    subscribe("web", Role.SERVER)
    subscribe("alice")
    server_crl = tmp_path / "server-crl.pem"
    server_crl.write_bytes(folder.crl.read_bytes())

    @contextmanager
    def start(**limits: Any) -> Iterator[Running]:
        material = open_material(folder.path, "web", server_crl)
        store = open_store(tmp_path / "uploads", material.material.trust_domain)
        app = make_app(store, UploadLimits(**{"spare": 0, **limits}))
        log = io.StringIO()
        with serving(app, material.source, listen=["127.0.0.1:0"], log=log) as (address,):
            yield Running(ServerAddress("127.0.0.1", address.port), tmp_path / "uploads", folder, log, [])

    return start


@pytest.fixture
def server(run: Run) -> Iterator[Running]:
    with run() as running:
        yield running


@pytest.fixture
def server_crl(tmp_path: Path) -> Path:
    """The lists that the server goes by; the client's are the folder's."""
    return tmp_path / "server-crl.pem"


__all__ = ["Run", "Running", "ThrowawayCa"]
