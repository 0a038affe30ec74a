from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

from keystead.errors import KeysteadError, NotThere, Unavailable
from keystead.tls.probe import probe
from tests.tls.throwaway import Pair

Answer = Callable[[socket.socket], None]


@pytest.fixture
def listening() -> Iterator[Callable[[Answer], int]]:
    """Start a server that answers one connection; gives its port."""
    started: list[tuple[socket.socket, Thread]] = []

    def listen(answer: Answer) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(10)

        def serve() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                answer(connection)

        thread = Thread(target=serve)
        thread.start()
        started.append((listener, thread))
        port: int = listener.getsockname()[1]
        return port

    yield listen
    for listener, thread in started:
        thread.join(10)
        listener.close()


def server_context(pair: Pair, folder: Path, mode: ssl.VerifyMode) -> ssl.SSLContext:
    chain, key = folder / "chain", folder / "key"
    chain.write_bytes(pair.chain_pem)
    key.write_bytes(pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    context.verify_mode = mode
    return context


def tls(context: ssl.SSLContext) -> Answer:
    def answer(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as secured:
                assert secured.recv(1) == b"", "a probe sends nothing"
        except OSError:
            return  # who asks for a certificate and gets none ends the handshake itself

    return answer


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("mode", [ssl.CERT_NONE, ssl.CERT_OPTIONAL])
def test_what_a_server_presents_is_given_back(
    server_pair: Pair,
    tmp_path: Path,
    listening: Callable[[Answer], int],
    version: ssl.TLSVersion,
    mode: ssl.VerifyMode,
) -> None:
    context = server_context(server_pair, tmp_path, mode)
    context.maximum_version = version
    port = listening(tls(context))
    shown = probe("127.0.0.1", port)
    assert shown.certificates == (server_pair.certificate, *server_pair.above)
    assert shown.protocol == version.name.replace("_", ".")
    assert shown.cipher
    assert shown.asks_for_certificate == (mode is ssl.CERT_OPTIONAL)


def test_a_port_where_nobody_listens_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NotThere, match="nobody listens"):
        probe("127.0.0.1", port)


def test_a_server_that_speaks_plain_http_is_said(listening: Callable[[Answer], int]) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    refusal = failed(listening(answer))
    assert refusal.code == "no-tls"


def test_a_server_that_hangs_up_is_said(listening: Callable[[Answer], int]) -> None:
    assert failed(listening(lambda connection: None)).mend


def test_a_server_that_stays_silent_is_given_up(listening: Callable[[Answer], int]) -> None:
    def answer(connection: socket.socket) -> None:
        while connection.recv(4096):
            pass

    assert failed(listening(answer), timeout=0.2).why == "it did not answer in time"


def test_a_flood_is_given_up(listening: Callable[[Answer], int]) -> None:
    def answer(connection: socket.socket) -> None:
        record = b"\x16\x03\x03\x40\x00" + b"\x0b\x0f\xff\xff" + bytes(0x3FFC)
        try:
            for _ in range(64):
                connection.sendall(record)
        except OSError:
            return

    failed(listening(answer))


def failed(port: int, timeout: float = 10.0) -> KeysteadError:
    with pytest.raises(Unavailable) as refusal:
        probe("127.0.0.1", port, timeout=timeout)
    assert refusal.value.why
    assert refusal.value.mend
    return refusal.value
