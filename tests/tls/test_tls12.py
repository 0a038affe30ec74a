"""TLS 1.2, where it is asked for: what it has beyond TLS 1.3, and that it opens no way around revocation.

The rest of the transport's tests run over it too (the engines "…-tls1.2").
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from OpenSSL import SSL

from keystead.pki.keys import KeyType
from keystead.tls.contexts import InForce
from keystead.tls.suites import TLS_1_2
from tests.tls.doors import Door, of_tls_1_2, open_door, until
from tests.tls.rawclient import RawClient
from tests.tls.records import APPLICATION_DATA, RenegotiatingClient
from tests.tls.throwaway import Environment, Pair, client_context

READERS = ("pinned-uvloop", "public-uvloop")


@pytest.fixture(params=READERS)
def open_to_both(request: pytest.FixtureRequest, in_force: InForce) -> Iterator[Door]:
    """A door for TLS 1.2 and 1.3, as `serve --min-tls 1.2` opens it."""
    with open_door(of_both(in_force), request.param) as door:
        yield door


def of_both(in_force: InForce) -> InForce:
    return InForce.of(replace(in_force.credentials, tls_1_2=True), in_force.crls, grace=in_force.grace)


def capped(pair: Pair) -> ssl.SSLContext:
    """As `Pair.context`, for TLS 1.2 at most."""
    context = client_context(pair.chain_pem, pair.key_pem)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def connect(
    port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> ssl.SSLSession | None:
    """A visit, resumed if the server lets us: the session that it leaves; asserts that it is no old one."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname="localhost", session=session) as tls,
    ):
        tls.sendall(b"hi")
        assert tls.recv(2) == b"hi"
        assert tls.version() == "TLSv1.2"
        if session is not None and tls.session_reused:
            raise Resumed
        return tls.session


class Resumed(Exception):
    """The server took a session for a handshake."""


# ---- which version


def test_the_newer_version_is_taken_where_both_are_spoken(open_to_both: Door, alice: Pair) -> None:
    with RawClient(open_to_both.port, alice.context) as client:
        assert client.handshake().tls.version() == "TLSv1.3"


def test_a_client_of_tls_1_2_gets_in_where_it_is_asked_for(
    open_to_both: Door, alice: Pair, dev: Environment
) -> None:
    with RawClient(open_to_both.port, capped(alice)) as client:
        client.handshake().send(b"hello")
        assert client.recv_exactly(5) == b"hello"
    handshake = open_to_both.protocols[0].transport.handshake
    assert handshake.chain == (alice.certificate, dev.issuing.certificate, dev.root.certificate)
    assert handshake.tls_version == 0x0303
    assert handshake.cipher_suite == 0xC02C


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_older_versions_are_refused_all_the_same(open_to_both: Door, alice: Pair, version: str) -> None:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    number = {"TLSv1": SSL.TLS1_VERSION, "TLSv1_1": SSL.TLS1_1_VERSION}[version]
    context.set_min_proto_version(number)
    context.set_max_proto_version(number)
    with pytest.raises(SSL.Error, match="protocol version"), handshaken(open_to_both.port, context):
        pass
    until(lambda: open_to_both.refusals)
    assert open_to_both.refusals[0].code == "old-tls"


@contextlib.contextmanager
def handshaken(port: int, context: SSL.Context) -> Iterator[SSL.Connection]:
    """A connection by pyOpenSSL, which offers what the standard library does not."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
        raw.settimeout(None)  # a socket with a timeout does not block, as OpenSSL sees it
        connection = SSL.Connection(context, raw)
        connection.set_tlsext_host_name(b"localhost")
        connection.set_connect_state()
        connection.do_handshake()
        yield connection


# ---- which suites


def pyopenssl_context(pair: Pair, *, suites: str = "DEFAULT") -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(suites.encode())
    context.use_certificate(pair.certificate)
    for issuer in pair.above:
        context.add_extra_chain_cert(issuer)
    context.use_privatekey(pair.key)  # type: ignore[arg-type]  # none of ML-DSA here
    return context


@pytest.mark.parametrize("suite", TLS_1_2)
def test_a_suite_is_agreed_on(in_force: InForce, dev: Environment, alice: Pair, suite: str) -> None:
    rsa = dev.leaf("web", "server", key_type=KeyType.RSA3072) if "RSA" in suite.split("-")[1] else None
    credentials = in_force.credentials if rsa is None else dev.credentials(rsa)
    made = of_tls_1_2(InForce.of(credentials, in_force.crls))
    context = pyopenssl_context(alice, suites=suite)
    with open_door(made, "pinned-uvloop") as door, handshaken(door.port, context) as connection:
        assert connection.get_cipher_name() == suite
        until(lambda: door.protocols)
        assert door.protocols[0].transport.handshake.cipher_suite == TLS_1_2[suite]


@pytest.mark.parametrize(
    "suites", ["ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA", "AES256-GCM-SHA384:DHE+AESGCM"]
)
def test_no_other_suite_is(open_to_both: Door, alice: Pair, suites: str) -> None:
    context = pyopenssl_context(alice, suites=suites)
    with pytest.raises(SSL.Error, match="handshake failure"), handshaken(open_to_both.port, context):
        pass
    until(lambda: open_to_both.refusals)
    assert open_to_both.refusals[0].code == "no-cipher"


# ---- renegotiation


def test_a_client_that_renegotiates_is_refused_and_the_server_lives(open_to_both: Door, alice: Pair) -> None:
    with handshaken(open_to_both.port, pyopenssl_context(alice)) as connection:
        connection.sendall(b"before")
        assert connection.recv(6) == b"before"
        assert connection.renegotiate()
        with pytest.raises(SSL.Error, match="no renegotiation"):
            connection.do_handshake()
    with RawClient(open_to_both.port, capped(alice)) as another:
        another.handshake().send(b"still here")
        assert another.recv_exactly(10) == b"still here"
    assert len(open_to_both.protocols) == 2


def test_a_client_hello_in_mid_connection_is_refused_and_the_connection_goes_on(
    open_to_both: Door, alice: Pair, tmp_path: Path
) -> None:
    with RenegotiatingClient(open_to_both.port, alice, tmp_path) as client:
        client.socket.sendall(client.client_hello() + client.record(APPLICATION_DATA, b"after"))
        with pytest.raises(ssl.SSLError, match="NO_RENEGOTIATION"):
            client.recv()
        until(lambda: open_to_both.protocols[0].received == 5)
        assert not open_to_both.protocols[0].lost


def test_a_flood_of_renegotiations_is_cut_off(open_to_both: Door, alice: Pair, tmp_path: Path) -> None:
    with RenegotiatingClient(open_to_both.port, alice, tmp_path) as client:
        with contextlib.suppress(ConnectionError):
            client.socket.sendall(b"".join(client.client_hello() for _ in range(4000)))
        until(lambda: open_to_both.protocols and open_to_both.protocols[0].lost)
    assert open_to_both.protocols[0].lost[0] is not None


# ---- resumption


@pytest.fixture
def resuming(in_force: InForce, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """A door as ours must not be: with sessions, by id and by ticket."""
    monkeypatch.setattr(SSL, "OP_NO_TICKET", 0)
    made = of_tls_1_2(in_force)
    monkeypatch.undo()
    made.context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
    made.context.set_session_id(b"test")
    with open_door(made, "pinned-uvloop") as door:
        yield door


def by_id(pair: Pair) -> ssl.SSLContext:
    """A client that wants no ticket, and so has but the session's id to come back with."""
    context = capped(pair)
    context.options |= ssl.OP_NO_TICKET
    return context


CLIENTS = {"by id": by_id, "by ticket": capped}


@pytest.mark.parametrize("how", CLIENTS)
def test_a_server_with_sessions_would_resume(resuming: Door, alice: Pair, how: str) -> None:
    """That the tests below would see it."""
    context = CLIENTS[how](alice)
    session = connect(resuming.port, context)
    assert session is not None
    assert session.has_ticket is (how == "by ticket")
    with pytest.raises(Resumed):
        connect(resuming.port, context, session)


@pytest.mark.parametrize("how", CLIENTS)
def test_no_session_of_ours_is_resumed(open_to_both: Door, alice: Pair, how: str) -> None:
    context = CLIENTS[how](alice)
    session = connect(open_to_both.port, context)
    assert session is None or not session.has_ticket
    connect(open_to_both.port, context, session)
    assert all(found.transport.handshake.chain for found in open_to_both.protocols)  # both were certified


@pytest.mark.parametrize("how", CLIENTS)
def test_a_session_that_another_server_gave_is_not_resumed(
    open_to_both: Door, resuming: Door, alice: Pair, how: str
) -> None:
    context = CLIENTS[how](alice)
    session = connect(resuming.port, context)
    assert session is not None
    connect(open_to_both.port, context, session)


@pytest.mark.parametrize("how", CLIENTS)
def test_a_revoked_client_does_not_get_in_by_a_session_from_before(
    open_to_both: Door, dev: Environment, server_pair: Pair, how: str
) -> None:
    carol = dev.leaf("carol")
    context = CLIENTS[how](carol)
    session = connect(open_to_both.port, context)
    crls = dev.crl_set(*dev.crls(carol, number=2))
    open_to_both.holder.current = InForce.of(replace(dev.credentials(server_pair), tls_1_2=True), crls)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REVOKED"):
        connect(open_to_both.port, context, session)
