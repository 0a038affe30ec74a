"""What the context offers, and what it is made of."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from OpenSSL import SSL

import keystead.tls.openssl as private
from keystead.errors import BadInput
from keystead.tls.contexts import GROUPS, InForce, ServerCredentials
from keystead.tls.keys import use_key
from keystead.tls.openssl import PinnedReader, PublicReader, has_private_names, make_reader, restrict_groups
from tests.tls.doors import Door
from tests.tls.throwaway import Environment, Pair


def test_the_key_is_in_no_representation(dev: Environment, server_pair: Pair) -> None:
    credentials = dev.credentials(server_pair)
    assert "PRIVATE" not in repr(credentials)
    assert "PRIVATE" not in repr(InForce.of(credentials, dev.crl_set()))


def test_a_key_of_another_certificate_is_refused(dev: Environment, server_pair: Pair, alice: Pair) -> None:
    mixed = ServerCredentials(server_pair.chain_pem, alice.key_pem, (dev.root.certificate,), dev.trust_domain)
    with pytest.raises(BadInput) as caught:
        InForce.of(mixed, dev.crl_set())
    assert caught.value.code == "key-mismatch"


@pytest.mark.tls_1_3
@pytest.mark.parametrize("group", GROUPS)
def test_a_key_exchange_is_offered(door: Door, alice: Pair, group: str) -> None:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    restrict_groups(context, [group])
    assert agreed_group(door, alice, context) is not None


@pytest.mark.tls_1_3
def test_the_hybrid_comes_first(door: Door, alice: Pair) -> None:
    assert agreed_group(door, alice, SSL.Context(SSL.TLS_CLIENT_METHOD)) == "X25519MLKEM768"


def test_other_key_exchanges_are_not_offered(door: Door, alice: Pair) -> None:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    restrict_groups(context, ["P-384"])
    with pytest.raises(SSL.Error):
        agreed_group(door, alice, context)


def agreed_group(door: Door, pair: Pair, context: SSL.Context) -> str | None:
    import socket

    context.use_certificate(pair.certificate)
    context.add_extra_chain_cert(pair.above[0])
    use_key(context, pair.key)
    with socket.create_connection(("127.0.0.1", door.port), timeout=5) as raw:
        raw.settimeout(None)  # pyOpenSSL knows no timeouts
        connection = SSL.Connection(context, raw)
        connection.set_connect_state()
        connection.do_handshake()
        connection.send(b"x")
        assert connection.recv(1) == b"x"
        return connection.get_group_name()


def test_the_anchors_are_named_to_the_client(door: Door, alice: Pair) -> None:
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{door.port}"],
        input=b"",
        capture_output=True,
        timeout=10,
    ).stdout
    assert b"Acceptable client certificate CA names" in shown
    assert b"dev.example.internal root" in shown


def test_the_private_names_are_there() -> None:
    """If this fails after an update of pyOpenSSL, uploads take twice the processor time."""
    assert has_private_names()
    assert isinstance(make_reader(100_000), PinnedReader)


def test_without_the_private_names_the_public_ones_serve(monkeypatch: Any) -> None:
    monkeypatch.setattr(private, "_lib", object())
    assert isinstance(make_reader(100_000), PublicReader)
    assert private.has_output(object())  # type: ignore[arg-type]
    restrict_groups(SSL.Context(SSL.TLS_SERVER_METHOD), GROUPS)
