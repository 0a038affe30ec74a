"""Fixtures: a store in a temporary folder, and the app over it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from keystead.subscriber.fileserver.app import make_app
from keystead.subscriber.fileserver.limits import UploadLimits
from keystead.subscriber.fileserver.shelf import open_store
from tests.subscriber.fileserver.callers import DOMAIN, NO_SPARE, Server, peer


@pytest.fixture
def serve(tmp_path: Path) -> Callable[[UploadLimits], Server]:
    """Makes a server with the limits given."""

    def make(limits: UploadLimits) -> Server:
        store = open_store(tmp_path / "uploads", DOMAIN)
        return Server(make_app(store, limits), store, peer("alice"))

    return make


@pytest.fixture
def server(serve: Callable[[UploadLimits], Server]) -> Server:
    """A server that takes anything, seen by alice."""
    return serve(NO_SPARE)
