"""Who gets in, who does not, and that both sides learn why."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from keystead.tls.contexts import InForce
from keystead.tls.refused import presented
from tests.tls.doors import ENGINES, Door, until
from tests.tls.rawclient import RawClient, alert_of
from tests.tls.throwaway import Environment, Pair, anonymous_context, now


def echoed(door: Door, pair: Pair, text: bytes = b"hello") -> bytes:
    with RawClient(door.port, pair.context) as client:
        client.handshake().send(text)
        answer = client.recv_exactly(len(text))
        client.close_notify()
        assert client.recv() == b""
        return answer


def test_a_trusted_client_gets_in(door: Door, alice: Pair) -> None:
    assert echoed(door, alice) == b"hello"
    assert not door.refusals


@pytest.mark.tls_1_3
def test_what_was_agreed_is_told_to_the_protocol(door: Door, alice: Pair, dev: Environment) -> None:
    echoed(door, alice)
    handshake = door.protocols[0].transport.handshake
    assert handshake.chain == (alice.certificate, dev.issuing.certificate, dev.root.certificate)
    assert handshake.tls_version == 0x0304
    assert handshake.cipher_suite == 0x1302


REFUSALS = {
    "none": ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "no-certificate", None),
    "revoked": ("SSLV3_ALERT_CERTIFICATE_REVOKED", "revoked", 0),
    "expired": ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "expired", 0),
    "unknown": ("TLSV1_ALERT_UNKNOWN_CA", "unknown-ca", 1),  # the issuing CA, whose root is not known
    "purpose": ("SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "wrong-purpose", 0),
}


def no_certificate(engine: str) -> str:
    """The alert that a client without a certificate gets; TLS 1.2 has no word for it (RFC 5246, 7.4.6)."""
    return "SSLV3_ALERT_HANDSHAKE_FAILURE" if ENGINES[engine].tls_1_2 else "TLSV13_ALERT_CERTIFICATE_REQUIRED"


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refused_client_and_the_log_are_told_the_reason(
    door: Door, engine: str, kind: str, dev: Environment, prod: Environment, mallory: Pair
) -> None:
    alert, code, depth = REFUSALS[kind]
    if kind == "none":
        alert = no_certificate(engine)
    pairs = {
        "revoked": mallory,
        "expired": dev.leaf("late", lifetime=timedelta(seconds=-1)),
        "unknown": prod.leaf("alice"),
        "purpose": dev.leaf("web2", "server"),
    }
    pair = pairs.get(kind)
    seen = alert_of(door.port, pair.context if pair else anonymous_context())
    until(lambda: door.refusals)
    (refusal,) = door.refusals
    assert (seen, refusal.code, refusal.depth) == (alert, code, depth)
    assert refusal.address == "127.0.0.1"
    if pair is not None:
        assert refusal.certificate is not None
        found = presented(refusal.certificate)
        assert found is not None
        assert found.serial == (pair.serial if depth == 0 else prod.issuing.serial)


def test_two_hundred_refused_clients_are_each_told_why(
    door: Door, engine: str, mallory: Pair, prod: Environment
) -> None:
    stranger = prod.leaf("stranger")
    contexts = [mallory.context, stranger.context, anonymous_context(), mallory.context] * 50
    with ThreadPoolExecutor(20) as pool:
        seen = Counter(pool.map(lambda context: alert_of(door.port, context), contexts))
    assert seen == {
        "SSLV3_ALERT_CERTIFICATE_REVOKED": 100,
        "TLSV1_ALERT_UNKNOWN_CA": 50,
        no_certificate(engine): 50,
    }
    until(lambda: len(door.refusals) == 200)


def test_a_client_under_a_revoked_issuing_ca_is_refused(
    make_door: Any, dev: Environment, server_pair: Pair, alice: Pair
) -> None:
    crls = dev.crl_set(*dev.crls(root_revokes=(dev.issuing,)))
    with make_door(InForce.of(dev.credentials(server_pair), crls)) as door:
        assert alert_of(door.port, alice.context) == "SSLV3_ALERT_CERTIFICATE_REVOKED"
        until(lambda: door.refusals)
        assert (door.refusals[0].code, door.refusals[0].depth) == ("revoked", 1)


def test_without_the_roots_crl_nobody_gets_in(
    make_door: Any, dev: Environment, server_pair: Pair, alice: Pair
) -> None:
    issuing_only = dev.crl_set(dev.crls()[0])
    with make_door(InForce.of(dev.credentials(server_pair), issuing_only)) as door:
        assert alert_of(door.port, alice.context) not in ("none", "eof", "reset")
        until(lambda: door.refusals)
        assert door.refusals[0].code == "crl-missing"


def stale(dev: Environment, mallory: Pair, *, by: timedelta) -> InForce:
    lists = dev.crls(mallory, made=now() - by - timedelta(days=1), lifetime=timedelta(days=1))
    return InForce.of(dev.credentials(dev.leaf("web", "server")), dev.crl_set(*lists))


def test_a_stale_crl_still_lets_in_within_the_grace(
    make_door: Any, dev: Environment, alice: Pair, mallory: Pair
) -> None:
    with make_door(stale(dev, mallory, by=timedelta(days=6))) as door:
        assert echoed(door, alice) == b"hello"


def test_a_stale_crl_still_keeps_a_revoked_client_out(
    make_door: Any, dev: Environment, mallory: Pair
) -> None:
    with make_door(stale(dev, mallory, by=timedelta(days=6))) as door:
        assert alert_of(door.port, mallory.context) == "SSLV3_ALERT_CERTIFICATE_REVOKED"


def test_a_crl_stale_beyond_the_grace_lets_nobody_in(
    make_door: Any, dev: Environment, alice: Pair, mallory: Pair
) -> None:
    with make_door(stale(dev, mallory, by=timedelta(days=8))) as door:
        assert alert_of(door.port, alice.context) == "SSLV3_ALERT_CERTIFICATE_EXPIRED"
        until(lambda: door.refusals)
        assert door.refusals[0].code == "crl-stale"


def test_a_chain_of_depth_four_is_refused(make_door: Any, dev: Environment, server_pair: Pair) -> None:
    top = dev.authority("deep root", None, path_length=5)
    second = dev.authority("second", top, path_length=4)
    third = dev.authority("third", second, path_length=3)
    fourth = dev.authority("fourth", third, path_length=2)
    deep = dev.leaf("deep", issuer=fourth, above=(fourth, third, second))
    with make_door(InForce.of(dev.credentials(server_pair, top.certificate), dev.crl_set())) as door:
        assert alert_of(door.port, deep.context) not in ("none", "eof", "reset")
        until(lambda: door.refusals)
        assert door.refusals[0].code in ("bad-path", "unknown-ca")


def test_a_handshake_octet_by_octet_gets_through(door: Door, alice: Pair) -> None:
    with RawClient(door.port, alice.context) as client:
        client.handshake(piece=1).send(b"slowly")
        assert client.recv_exactly(6) == b"slowly"


def test_a_client_that_speaks_plain_http_is_named_so(door: Door) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", door.port), timeout=5) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        plain.recv(100)
    until(lambda: door.refusals)
    assert door.refusals[0].code == "not-tls"


@pytest.mark.tls_1_3
def test_a_client_of_tls_1_2_is_refused(door: Door, alice: Pair) -> None:
    import ssl

    context = anonymous_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert alert_of(door.port, context) == "TLSV1_ALERT_PROTOCOL_VERSION"
    until(lambda: door.refusals)
    assert door.refusals[0].code == "old-tls"


def test_an_unreadable_certificate_is_reported_without_being_parsed() -> None:
    assert presented(b"\x30\x03\x02\x01\x07") is None
    assert presented(bytes(100_000)) is None
