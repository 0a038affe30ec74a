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


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "tls_1_3: what TLS 1.2 does not have, or has otherwise")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of the transport runs over each engine that can do it."""
    if "engine" in metafunc.fixturenames:
        only_1_3 = metafunc.definition.get_closest_marker("tls_1_3") is not None
        names = [name for name, engine in ENGINES.items() if not (only_1_3 and engine.tls_1_2)]
        metafunc.parametrize("engine", [_in_turn(name) for name in names], indirect=True)


def _in_turn(name: str) -> Any:
    """The engine that serves by default is tried by `make test-fast`, the others by `make test`."""
    return pytest.param(name, marks=() if name == next(iter(ENGINES)) else pytest.mark.slow)


@pytest.fixture
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
