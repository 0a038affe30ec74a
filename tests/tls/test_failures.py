"""Failures on this side in words: nobody there, no TLS, cut off, certificates that do not convince."""

from __future__ import annotations

import dataclasses
import shlex
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from keystead.errors import Distrusted, KeysteadError
from keystead.pki.verdicts import VERDICTS
from keystead.tls.alerts import Attempt
from keystead.tls.client import ClientCredentials, client_context, connect
from keystead.tls.failures import explain, explained
from tests.tls.folders import credentials
from tests.tls.throwaway import Environment, Pair, now


@pytest.fixture
def own(tmp_path: Path, dev: Environment, alice: Pair) -> ClientCredentials:
    return credentials(tmp_path, dev, alice, dev.crls())


@contextmanager
def somebody(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A listener that does ``answer`` to the first caller and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as caller:
                answer(caller)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)
    assert not thread.is_alive()


def failure(own: ClientCredentials, port: int, host: str = "127.0.0.1") -> KeysteadError:
    with (
        pytest.raises(KeysteadError) as caught,
        explained(lambda: Attempt(host, port, own, now())),
        socket.create_connection((host, port), 5) as plain,
    ):
        connect(client_context(own, now), plain, host).close()
    return caught.value


def test_nobody_listening_is_said_with_the_place(own: ClientCredentials) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure(own, port)
    assert error.what == f"no connection to 127.0.0.1:{port}"
    assert error.why == "nobody listens there"
    assert "keystead serve" in error.mend


def test_a_plain_http_server_is_recognised(own: ClientCredentials) -> None:
    def answer(caller: socket.socket) -> None:
        caller.recv(100)
        caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        caller.recv(100_000)

    with somebody(answer) as port:
        error = failure(own, port)
    assert error.code == "not-tls"
    assert "plain HTTP" in error.why


def test_a_server_that_hangs_up_is_recognised(own: ClientCredentials) -> None:
    def answer(caller: socket.socket) -> None:
        caller.recv(100_000)
        caller.shutdown(socket.SHUT_WR)
        caller.recv(100_000)

    with somebody(answer) as port:
        assert failure(own, port).code == "cut"


def test_a_server_of_tls_1_2_is_recognised(own: ClientCredentials, dev: Environment, tmp_path: Path) -> None:
    pair = dev.leaf("web", "server")
    (tmp_path / "server.pem").write_bytes(pair.key_pem + pair.chain_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def answer(caller: socket.socket) -> None:
        with pytest.raises(OSError):
            context.wrap_socket(caller, server_side=True)

    with somebody(answer) as port:
        error = failure(own, port)
    assert error.code == "tls-failed"
    assert "TLS 1.3" in error.why + error.mend


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (socket.gaierror(-2, "unknown"), "unreachable", "cannot be resolved"),
        (TimeoutError(), "timeout", "in time"),
        (BrokenPipeError(32, "broken"), "cut", "cut"),
        (OSError(113, "no route"), "unreachable", "no way"),
        (OSError(9999, "strange {things}"), "unreachable", "strange {things}"),
        (ssl.SSLError(1, "strange {things}"), "tls-failed", "OpenSSL says"),
        (ssl.SSLEOFError(8, "eof"), "cut", "closed"),
    ],
)
def test_each_error_of_the_network_has_its_words(
    own: ClientCredentials, error: OSError, code: str, word: str
) -> None:
    told = explain(error, Attempt("::1", 8443, own, now()))
    assert told.what == "no connection to [::1]:8443"
    assert told.code == code
    assert word in told.why


def unverified(errno: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = errno, "as OpenSSL says"
    return error


def seen(*certificates: x509.Certificate) -> Callable[[str, int], tuple[x509.Certificate, ...]]:
    return lambda host, port: certificates


@pytest.mark.parametrize("errno", [*VERDICTS, 9999])
@pytest.mark.parametrize("is_seen", [True, False])
def test_every_verdict_on_a_server_says_what_why_and_how_to_mend_it(
    own: ClientCredentials, server_pair: Pair, errno: int, is_seen: bool
) -> None:
    look = seen(server_pair.certificate) if is_seen else seen()
    error = explain(unverified(errno), Attempt("localhost", 8443, own, now()), look)
    assert isinstance(error, Distrusted)
    assert error.what.startswith("the server localhost:8443 is not trusted: its certificate ")
    assert error.why
    assert error.mend


def test_an_unknown_ca_is_named_beside_the_trusted_one(own: ClientCredentials, prod: Environment) -> None:
    theirs = prod.leaf("web", "server").certificate
    error = explain(unverified(20), Attempt("localhost", 8443, own, now()), seen(theirs))
    assert "'prod.example.internal issuing'" in error.why
    assert "'dev.example.internal root'" in error.why
    assert str(own.ca_path) in error.why


def test_an_expired_server_is_named_with_its_date(own: ClientCredentials, dev: Environment) -> None:
    late = dev.leaf("web", "server", lifetime=timedelta(seconds=-1)).certificate
    error = explain(unverified(10), Attempt("localhost", 8443, own, now()), seen(late))
    assert f"'web' ended on {late.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC" in error.why
    assert "keystead csr web --profile server" in error.mend
    assert "--renew" not in error.mend  # which refuses what has expired


def test_a_wrong_name_is_told_beside_the_right_ones(own: ClientCredentials, server_pair: Pair) -> None:
    attempt = Attempt("db.example.org", 8443, own, now())
    error = explain(unverified(62), attempt, seen(server_pair.certificate))
    assert error.why == "'db.example.org' was wanted, and the certificate has: localhost"
    assert "--to https://localhost:8443" in error.mend
    assert "--san db.example.org" in error.mend


@pytest.mark.parametrize("code", [10, 62])
def test_what_a_stranger_calls_itself_is_quoted_in_what_is_to_be_typed(
    own: ClientCredentials, dev: Environment, code: int
) -> None:
    name = "web; reboot"
    theirs = dev.leaf(
        name, "server", uri="spiffe://elsewhere.example", lifetime=timedelta(seconds=-1)
    ).certificate
    error = explain(unverified(code), Attempt("db.example.org", 8443, own, now()), seen(theirs))
    typed = error.mend.partition("keystead csr ")[2]
    assert shlex.split(typed.partition(" --")[0]) == [name]


def test_an_error_that_a_library_wrapped_is_found_and_a_foreign_one_let_through(
    own: ClientCredentials,
) -> None:
    attempt = Attempt("localhost", 8443, own, now())
    with pytest.raises(KeysteadError), explained(lambda: attempt):
        try:
            raise ConnectionRefusedError
        except OSError as error:
            raise RuntimeError("wrapped") from error
    with pytest.raises(ZeroDivisionError), explained(lambda: attempt):
        raise ZeroDivisionError


def test_a_client_without_credentials_is_explained_too() -> None:
    attempt = dataclasses.replace(Attempt("localhost", 8443, None, now()))
    assert explain(unverified(20), attempt, seen()).why == "no CA is trusted here"
