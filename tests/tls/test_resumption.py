"""Nothing is resumable: a resumed session would skip the check of revocation."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from keystead.tls.contexts import InForce
from tests.tls.doors import Door
from tests.tls.throwaway import Environment, Pair


def connect(door: Door, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    """A client that has seen the server's tickets, which come with the first answer."""
    raw = socket.create_connection(("127.0.0.1", door.port), timeout=5)
    try:
        tls = context.wrap_socket(raw, server_hostname="localhost", session=session)
    except BaseException:
        raw.close()
        raise
    try:
        tls.sendall(b"hi")
        assert tls.recv(2) == b"hi"
    except BaseException:
        tls.close()
        raise
    return tls


def test_a_session_is_not_resumed(door: Door, alice: Pair) -> None:
    first = connect(door, alice.context)
    session = first.session
    first.close()
    assert session is not None
    second = connect(door, alice.context, session)
    assert not second.session_reused
    second.close()
    assert all(p.transport.handshake.chain for p in door.protocols)  # both showed a certificate


def test_a_revoked_client_does_not_get_in_by_a_session_from_before(
    make_door: Any, dev: Environment, server_pair: Pair, alice: Pair
) -> None:
    with make_door() as door:
        first = connect(door, alice.context)
        session = first.session
        first.close()
        crls = dev.crl_set(*dev.crls(alice, number=2))
        door.holder.current = InForce.of(dev.credentials(server_pair), crls)
        try:
            connect(door, alice.context, session).close()
        except ssl.SSLError as error:
            assert error.reason == "SSLV3_ALERT_CERTIFICATE_REVOKED"
        else:
            raise AssertionError("the session was resumed")
