"""Looking at an endpoint without trusting it: which certificates it presents, and how it speaks TLS.

The only place that connects unverified. It sends nothing but the handshake, presents no certificate, and
gives back what was shown; whoever wants to send something verifies first (`tls.client`).
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address

from cryptography import x509
from OpenSSL import SSL

from keystead.errors import KeysteadError, NotThere, Unavailable
from keystead.wire.place import place_of

_TIMEOUT = 10.0
"""Seconds for all of it: name, connection and handshake."""

_MAX_OCTETS = 256 * 1024
"""A chain has a few KiB; whoever sends more in a handshake is no TLS server to be looked at."""

_PIECE = 16 * 1024
_REQUEST_STATE = "read server certificate request"


@dataclass(frozen=True, slots=True)
class Probed:
    """What an endpoint showed, none of it verified.

    ``certificates`` is leaf first. ``group`` is the key exchange, empty where OpenSSL does not tell it.
    ``asks_for_certificate`` is whether a client certificate was asked for; whether it must be, shows later.
    """

    host: str
    port: int
    certificates: tuple[x509.Certificate, ...]
    protocol: str
    cipher: str
    group: str
    asks_for_certificate: bool


def probe(host: str, port: int, *, timeout: float = _TIMEOUT) -> Probed:
    """What the TLS server at ``host`` and ``port`` shows, within ``timeout`` seconds.

    Raises `NotThere` where nobody listens or the name is unknown, `Unavailable` where the other side speaks
    no TLS, refuses, or is too slow.
    """
    deadline = time.monotonic() + timeout
    where = place_of(host, port)
    with _connect(host, port, timeout) as sock:
        asked: list[bool] = []
        connection = _connection(host, asked)
        try:
            _shake_hands(connection, sock, deadline, where)
        except SSL.Error as error:
            raise _no_tls(where, error) from None
        except OSError as error:
            raise _cut_off(where, error) from None
        return _shown(connection, host, port, asks=bool(asked))


def _connect(host: str, port: int, timeout: float) -> socket.socket:
    where = place_of(host, port)
    try:
        return socket.create_connection((host, port), timeout)
    except (socket.gaierror, UnicodeError):
        raise NotThere(
            f"the name {host!r} is not known",
            why="neither the resolver nor /etc/hosts has an address for it",
            mend="check the spelling; or try the IP address",
            code="unknown-host",
        ) from None
    except ConnectionRefusedError:
        raise NotThere(
            f"nobody listens on {where}",
            why="the connection was refused",
            mend="start the server there (keystead serve), or check the port",
            code="nobody-listens",
        ) from None
    except OSError as error:
        raise _cut_off(where, error) from None


def _connection(host: str, asked: list[bool]) -> SSL.Connection:
    def note_state(connection: SSL.Connection, _where: int, _result: int) -> None:
        if _REQUEST_STATE in connection.get_state_string().decode():
            asked.append(True)

    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_NONE)
    context.set_info_callback(note_state)
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    if not _is_address(host):
        connection.set_tlsext_host_name(host.encode("idna"))
    return connection


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(host))
    return False


def _shake_hands(connection: SSL.Connection, sock: socket.socket, deadline: float, where: str) -> None:
    received = 0
    while True:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            _flush(connection, sock)
        else:
            return
        sock.settimeout(max(deadline - time.monotonic(), 0.001))
        data = sock.recv(_PIECE)
        received += len(data)
        if not data or received > _MAX_OCTETS:
            ended = "it closed the connection" if not data else f"it sent more than {_MAX_OCTETS:,} octets"
            raise Unavailable(
                f"{where} completed no TLS handshake",
                why=f"{ended} during the handshake",
                mend="check that this is a TLS port, and look at the server's log",
                code="no-tls",
            )
        connection.bio_write(data)


def _flush(connection: SSL.Connection, sock: socket.socket) -> None:
    with suppress(SSL.WantReadError):
        while True:
            sock.sendall(connection.bio_read(_PIECE))


def _shown(connection: SSL.Connection, host: str, port: int, *, asks: bool) -> Probed:
    try:
        chain = connection.get_peer_cert_chain(as_cryptography=True) or []
    except ValueError as error:
        raise Unavailable(
            f"{place_of(host, port)} presents a certificate that cannot be parsed",
            why=str(error),
            code="malformed",
        ) from None
    return Probed(
        host=host,
        port=port,
        certificates=tuple(chain),
        protocol=connection.get_protocol_version_name(),
        cipher=connection.get_cipher_name() or "",
        group=connection.get_group_name() or "",
        asks_for_certificate=asks,
    )


def _no_tls(where: str, error: SSL.Error) -> KeysteadError:
    reasons = error.args[0] if error.args else []
    said = "; ".join(str(reason[-1]) for reason in reasons) if isinstance(reasons, list) else str(reasons)
    return Unavailable(
        f"{where} completed no TLS handshake",
        why=f"OpenSSL says: {said or 'nothing'}",
        mend="check that this is a TLS port (plain HTTP answers so too), and look at the server's log",
        code="no-tls",
    )


def _cut_off(where: str, error: OSError) -> KeysteadError:
    is_slow = isinstance(error, TimeoutError)
    return Unavailable(
        f"cannot look at {where}",
        why="it did not answer in time" if is_slow else error.strerror or str(error),
        mend="check host, port and firewall",
        code="unreachable",
    )
