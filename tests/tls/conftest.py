from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest

from keystead.pki.names import TrustDomain
from keystead.tls.contexts import InForce
from tests.tls.doors import ENGINES, Door, open_door
from tests.tls.throwaway import Environment, Pair


@pytest.fixture(scope="session")
def dev() -> Environment:
    return Environment(TrustDomain("dev.example.internal"))


@pytest.fixture(scope="session")
def prod() -> Environment:
    return Environment(TrustDomain("prod.example.internal"))


@pytest.fixture(scope="session")
def server_pair(dev: Environment) -> Pair:
    return dev.leaf("web", "server")


@pytest.fixture(scope="session")
def alice(dev: Environment) -> Pair:
    return dev.leaf("alice")


@pytest.fixture(scope="session")
def mallory(dev: Environment) -> Pair:
    """The one whom the CRL of `in_force` names."""
    return dev.leaf("mallory")


@pytest.fixture(scope="session")
def in_force(dev: Environment, server_pair: Pair, mallory: Pair) -> InForce:
    return InForce.of(dev.credentials(server_pair), dev.crl_set(*dev.crls(mallory)))


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_door(engine: str, in_force: InForce) -> Callable[..., AbstractContextManager[Door]]:
    """A context manager that opens a door with options of its own."""

    def make(in_force: InForce = in_force, **options: Any) -> AbstractContextManager[Door]:
        return open_door(in_force, engine, **options)

    return make


@pytest.fixture
def door(make_door: Callable[..., AbstractContextManager[Door]]) -> Iterator[Door]:
    with make_door() as opened:
        yield opened


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    """Whatever is entered here is left at the test's end."""
    with ExitStack() as stack:
        yield stack
