"""The client's side of mutual TLS against our door: whom it speaks to, and whom it sends nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest

from keystead.errors import BadInput, KeysteadError, Unavailable
from keystead.pki.certificates import to_pem
from keystead.pki.keys import KeyType
from keystead.pki.names import TrustDomain
from keystead.tls.alerts import Attempt
from keystead.tls.client import ClientCredentials, client_context, connect, crl_warnings
from keystead.tls.contexts import InForce
from keystead.tls.failures import explained
from tests.tls.doors import Door, open_door, until
from tests.tls.folders import credentials
from tests.tls.throwaway import Environment, Pair, now

Own = Callable[..., ClientCredentials]

# All of it over Python's `ssl`, and over pyOpenSSL, which a post-quantum certificate asks for.


@pytest.fixture(scope="module", params=[KeyType.P256, KeyType.ML_DSA_65])
def key_type(request: pytest.FixtureRequest) -> KeyType:
    return KeyType(request.param)


@pytest.fixture(scope="module")
def dev(key_type: KeyType) -> Environment:
    return Environment(TrustDomain("dev.example.internal"), key_type)


@pytest.fixture(scope="module")
def prod(key_type: KeyType) -> Environment:
    return Environment(TrustDomain("prod.example.internal"), key_type)


@pytest.fixture(scope="module")
def server_pair(dev: Environment) -> Pair:
    return dev.leaf("web", "server")


@pytest.fixture(scope="module")
def alice(dev: Environment) -> Pair:
    return dev.leaf("alice")


@pytest.fixture(scope="module")
def mallory(dev: Environment) -> Pair:
    return dev.leaf("mallory")


@pytest.fixture(scope="module")
def in_force(dev: Environment, server_pair: Pair, mallory: Pair) -> InForce:
    return InForce.of(dev.credentials(server_pair), dev.crl_set(*dev.crls(mallory)))


@pytest.fixture
def own(tmp_path: Path, dev: Environment, alice: Pair) -> Own:
    """Alice's folder; ``crls`` and ``anchors`` make it another than the usual one."""

    def make(
        *, pair: Pair = alice, crls: object = "usual", anchors: tuple[object, ...] = ()
    ) -> ClientCredentials:
        lists = dev.crls() if crls == "usual" else crls
        return credentials(tmp_path, dev, pair, lists, *anchors)  # type: ignore[arg-type]

    return make


@pytest.fixture
def plain_door(in_force: InForce) -> Iterator[Door]:
    with open_door(in_force, "pinned-uvloop") as door:
        yield door


def door_of(environment: Environment, server: Pair) -> AbstractContextManager[Door]:
    in_force = InForce.of(environment.credentials(server), environment.crl_set())
    return open_door(in_force, "pinned-uvloop")


def talk(own: ClientCredentials, port: int, host: str = "localhost") -> bytes:
    """Say hello and hear it back; errors come in words."""
    with explained(lambda: Attempt(host, port, own, now())):
        plain = socket.create_connection(("127.0.0.1", port), 5)
        with connect(client_context(own, now), plain, host) as tls:
            tls.sendall(b"hello")
            return tls.recv(5)


def refusal(own: ClientCredentials, door: Door, host: str = "localhost") -> KeysteadError:
    with pytest.raises(KeysteadError) as caught:
        talk(own, door.port, host)
    return caught.value


def test_client_and_server_of_one_environment_talk(own: Own, plain_door: Door) -> None:
    assert talk(own(), plain_door.port) == b"hello"


def test_the_shells_trust_settings_have_no_influence(
    own: Own, plain_door: Door, prod: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs.pem").write_bytes(to_pem(prod.root.certificate))
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "theirs.pem"))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keylog"))
    assert talk(own(), plain_door.port) == b"hello"
    assert not (tmp_path / "keylog").exists()
    with door_of(prod, prod.leaf("web", "server")) as door:
        assert refusal(own(), door).code == "unknown-ca"


def test_an_older_tls_is_not_spoken(own: Own) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = Thread(target=answer_by_an_older_tls, args=(listener,))
        answering.start()
        with pytest.raises(Unavailable) as caught:
            talk(own(), listener.getsockname()[1])
        answering.join(10)
    assert caught.value.code in ("old-tls", "tls-failed")


def answer_by_an_older_tls(listener: socket.socket) -> None:
    """As a server would that speaks TLS 1.2: the ClientHello is answered by the alert protocol_version."""
    connection, _ = listener.accept()
    with connection:
        assert connection.recv(65_536)
        connection.sendall(bytes.fromhex("15 0303 0002 02 46"))


def test_a_server_of_another_environment_gets_no_octet_even_under_a_trusted_anchor(
    own: Own, dev: Environment, prod: Environment
) -> None:
    both = own(crls=(*dev.crls(), *prod.crls()), anchors=(prod.root.certificate,))
    with door_of(prod, prod.leaf("web", "server")) as door:
        error = refusal(both, door)
        assert all(protocol.received == 0 for protocol in door.protocols)
    assert error.code == "foreign-domain"
    assert "prod.example.internal" in error.why
    assert "dev.example.internal" in error.why


def test_a_client_who_poses_as_a_server_is_refused(own: Own, dev: Environment, bob_as_server: Door) -> None:
    error = refusal(own(), bob_as_server)
    assert error.code == "wrong-purpose"


@pytest.fixture
def bob_as_server(dev: Environment) -> Iterator[Door]:
    with door_of(dev, dev.leaf("bob")) as door:
        yield door


def test_a_revoked_server_is_refused(own: Own, dev: Environment, plain_door: Door, server_pair: Pair) -> None:
    error = refusal(own(crls=dev.crls(server_pair)), plain_door)
    assert error.code == "revoked"
    assert "crl.pem" in error.why
    assert "nothing was sent" in error.mend


def test_a_server_under_a_revoked_issuing_ca_is_refused(own: Own, dev: Environment, plain_door: Door) -> None:
    assert refusal(own(crls=dev.crls(root_revokes=(dev.issuing,))), plain_door).code == "revoked"


def test_a_server_is_refused_where_the_list_of_a_ca_is_missing(
    own: Own, dev: Environment, plain_door: Door
) -> None:
    error = refusal(own(crls=dev.crls()[:1]), plain_door)
    assert error.code == "crl-missing"


def test_a_stale_list_within_its_grace_is_warned_of_and_still_obeyed(
    own: Own, dev: Environment, plain_door: Door, server_pair: Pair
) -> None:
    made, lifetime = now() - timedelta(days=6), timedelta(days=3)
    stale = own(crls=dev.crls(made=made, lifetime=lifetime))
    assert talk(stale, plain_door.port) == b"hello"
    assert all("out of date" in warning for warning in crl_warnings(stale, now))
    assert len(crl_warnings(stale, now)) == 2
    revoking = own(crls=dev.crls(server_pair, made=made, lifetime=lifetime))
    assert refusal(revoking, plain_door).code == "revoked"


def test_a_list_beyond_its_grace_lets_nobody_be_trusted(own: Own, dev: Environment, plain_door: Door) -> None:
    lists = dev.crls(made=now() - timedelta(days=11), lifetime=timedelta(days=3))
    error = refusal(own(crls=lists), plain_door)
    assert error.code == "crl-stale"
    assert "keystead ca crl" in error.mend


def test_a_folder_without_lists_is_warned_of_at_every_run(own: Own, plain_door: Door) -> None:
    bare = own(crls=None)
    assert talk(bare, plain_door.port) == b"hello"
    (warning,) = crl_warnings(bare, now)
    assert "crl.pem" in warning
    assert "keystead ca crl" in warning
    assert crl_warnings(own(), now) == ()


def test_another_host_name_is_refused_with_the_names_that_the_certificate_has(
    own: Own, plain_door: Door
) -> None:
    error = refusal(own(), plain_door, "db.example.org")
    assert error.code == "host-mismatch"
    assert "'db.example.org'" in error.what


def test_an_address_that_the_certificate_lacks_is_refused_with_both(own: Own, plain_door: Door) -> None:
    error = refusal(own(), plain_door, "127.0.0.1")
    assert error.code == "ip-mismatch"
    assert error.why == "'127.0.0.1' was wanted, and the certificate has: localhost"
    assert "--to https://localhost:" in error.mend
    assert "--san 127.0.0.1" in error.mend


def test_a_key_of_another_certificate_is_refused(own: Own, dev: Environment) -> None:
    mixed = own()
    mixed.key_path.write_bytes(dev.leaf("bob").key_pem)
    with pytest.raises(BadInput) as caught:
        client_context(mixed, now)
    assert "alice.key" in caught.value.what


def test_a_sealed_key_asks_nobody_for_a_passphrase(own: Own, alice: Pair) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
    )

    sealed = own()
    sealed.key_path.write_bytes(
        alice.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )
    with pytest.raises(Unavailable) as caught:
        client_context(sealed, now)
    assert "passphrase" in caught.value.what


@pytest.mark.parametrize("key_type", [KeyType.P256], indirect=True)
def test_the_check_holds_for_asyncio_too(own: Own, dev: Environment, prod: Environment) -> None:
    both = own(crls=(*dev.crls(), *prod.crls()), anchors=(prod.root.certificate,))

    async def call(port: int) -> None:
        await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(both, now), server_hostname="localhost"
        )

    with door_of(prod, prod.leaf("web", "server")) as door:
        with pytest.raises(KeysteadError) as caught:
            asyncio.run(call(door.port))
        assert all(protocol.received == 0 for protocol in door.protocols)
    assert caught.value.code == "foreign-domain"


def test_each_refused_client_is_told_why_every_time(
    own: Own, dev: Environment, in_force: InForce, mallory: Pair
) -> None:
    cases = {
        "revoked": mallory,
        "expired": dev.leaf("late", lifetime=timedelta(seconds=-1)),
        "unknown-ca": Environment(dev.trust_domain, dev.key_type).leaf("alice"),
        "wrong-purpose": dev.leaf("web-2", "server"),
    }
    with open_door(in_force, "pinned-uvloop") as door:
        for code, pair in cases.items():
            stranger = own(pair=pair)
            assert {refusal(stranger, door).code for _ in range(25)} == {code}, code
        until(lambda: len(door.refusals) == 100)
