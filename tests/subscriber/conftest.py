from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keystead.pki.keys import KeyType
from keystead.pki.names import HostNames
from keystead.subscriber.install import Wish, install
from keystead.subscriber.layout import Files, Folder
from keystead.subscriber.request import request
from keystead.subscriber.roles import Role
from tests.subscriber.throwaway_ca import ThrowawayCa

Subscribe = Callable[..., Files]


@pytest.fixture
def ca() -> ThrowawayCa:
    return ThrowawayCa()


@pytest.fixture
def prod() -> ThrowawayCa:
    return ThrowawayCa("prod")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "certs")


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def key_type() -> KeyType:
    """That of the keys that `subscribe` makes."""
    return KeyType.P256


@pytest.fixture
def subscribe(folder: Folder, ca: ThrowawayCa, tmp_path: Path, key_type: KeyType) -> Subscribe:
    """Make a subscriber of the folder: key, CSR, signed, installed."""

    def subscribe(name: str = "alice", role: Role = Role.CLIENT, lifetime: str = "30d") -> Files:
        hosts = HostNames.of(["localhost"]).with_local_trio() if role is Role.SERVER else HostNames()
        files = request(folder, name, role, hosts, key_type).files
        leaf = ca.sign(files.csr.read_bytes(), profile=role, lifetime=lifetime)
        bundle = tmp_path / f"{name}.pem"
        bundle.write_bytes(ca.bundle(leaf))
        install(folder, Wish(bundle), datetime.now(UTC))
        return files

    return subscribe
