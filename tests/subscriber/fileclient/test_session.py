"""Knocking: who is told what, and which revocation lists are in the folder afterwards."""

from __future__ import annotations

import io
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from keystead.errors import KeysteadError, Unavailable
from keystead.machine.clock import system_clock
from keystead.pki.certificates import load_certificate
from keystead.pki.keys import KeyType
from keystead.subscriber.fileclient.address import ServerAddress
from keystead.subscriber.fileclient.fetching import list_files
from keystead.subscriber.fileclient.session import credentials_of, open_session
from keystead.subscriber.fileserver.material import open_material
from keystead.subscriber.layout import Folder
from keystead.web.server import serving
from tests.subscriber.conftest import Subscribe
from tests.subscriber.fileclient.conftest import Run, Running
from tests.subscriber.throwaway_ca import ThrowawayCa


def refusal(server: Running, name: str = "alice", address: ServerAddress | None = None) -> KeysteadError:
    with pytest.raises(KeysteadError) as caught, server.session(name, address):
        pass
    return caught.value


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_server_says_whom_it_sees_and_is_remembered(server: Running) -> None:
    with server.session() as session:
        assert session.caller.identity.uri == "spiffe://dev.example.internal/client/alice"
    assert (server.folder.path / ".last-server").read_text() == f"{server.address.url}\n"
    assert server.remarks == []


def test_a_revoked_client_is_told_so(
    server: Running, ca: ThrowawayCa, folder: Folder, subscribe: Subscribe, server_crl: Path
) -> None:
    mallory = subscribe("mallory")
    ca.revoke(load_certificate(mallory.certificate.read_bytes(), ""))
    server_crl.write_bytes(ca.crl_pem())
    until(lambda: '"reloaded"' in server.log.getvalue())
    error = refusal(server, "mallory")
    assert error.code == "revoked"
    assert str(mallory.certificate) in error.why
    assert '"code": "revoked"' in server.log.getvalue()


def test_a_client_who_is_revoked_meanwhile_is_told_so_on_its_open_connection(
    server: Running, ca: ThrowawayCa, subscribe: Subscribe, server_crl: Path
) -> None:
    mallory = subscribe("mallory")
    with server.session("mallory") as session:
        ca.revoke(load_certificate(mallory.certificate.read_bytes(), ""))
        server_crl.write_bytes(ca.crl_pem())
        until(lambda: '"reloaded"' in server.log.getvalue())
        with pytest.raises(KeysteadError) as caught:
            list_files(session.first)
    assert caught.value.code == "revoked"


def test_an_expired_client_is_told_the_date(server: Running, subscribe: Subscribe) -> None:
    late = subscribe("late", lifetime="1s")
    end = load_certificate(late.certificate.read_bytes(), "").not_valid_after_utc
    until(lambda: time.time() > end.timestamp() + 1)
    error = refusal(server, "late")
    assert error.code == "expired"
    assert f"{end:%Y-%m-%d %H:%M:%S}" in error.why
    assert "keystead csr late" in error.mend


def test_a_wrong_host_name_is_refused_by_the_client(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def resolve(host: str, *rest: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host == "db.example.org" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    error = refusal(server, address=ServerAddress("db.example.org", server.address.port))
    assert error.code == "host-mismatch"
    assert error.why == "'db.example.org' was wanted, and the certificate has: localhost, 127.0.0.1, ::1"
    assert "--san db.example.org" in error.mend


def test_a_newer_list_is_taken_from_the_server_and_an_older_one_is_not(
    server: Running, ca: ThrowawayCa, folder: Folder, server_crl: Path
) -> None:
    older = folder.crl.read_bytes()
    newer = ca.crl_pem()
    server_crl.write_bytes(newer)
    until(lambda: '"reloaded"' in server.log.getvalue())
    with server.session():
        pass
    assert folder.crl.read_bytes() == newer
    assert any("renewed" in remark for remark in server.remarks)
    server.remarks.clear()
    evennewer = ca.crl_pem()
    folder.crl.write_bytes(evennewer)
    with server.session():
        pass
    assert folder.crl.read_bytes() == evennewer
    assert server.remarks == []
    assert older != newer


def test_a_folder_without_lists_gets_the_servers(server: Running, folder: Folder) -> None:
    folder.crl.unlink()
    with server.session():
        pass
    assert folder.crl.exists()


def test_a_list_that_no_ca_of_ours_signed_is_not_taken(
    server: Running, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = ThrowawayCa().crl_pem()
    before = folder.crl.read_bytes()
    monkeypatch.setattr("keystead.subscriber.fileserver.app.crls_of", lambda scope: theirs)
    with server.session():
        pass
    assert folder.crl.read_bytes() == before


def test_a_server_that_the_newer_list_revokes_gets_nothing(
    server: Running, ca: ThrowawayCa, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = load_certificate(folder.files("web").certificate.read_bytes(), "")
    ca.revoke(web)
    revoking = ca.crl_pem()
    monkeypatch.setattr("keystead.subscriber.fileserver.app.crls_of", lambda scope: revoking)
    assert refusal(server).code == "revoked"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Somebody's own, which knows nothing of files."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"not here"})


def test_a_server_of_an_application_is_told_from_a_file_server(run: Run, folder: Folder) -> None:
    material = open_material(folder.path, "web", folder.crl)
    own = credentials_of(folder.path, "alice")
    with serving(application, material.source, listen=["127.0.0.1:0"], log=io.StringIO()) as (at,):
        address = ServerAddress("127.0.0.1", at.port)
        with pytest.raises(Unavailable, match="keeps no files") as caught:
            open_session(own, address, system_clock, print)
    assert "keystead serve APP" in caught.value.why
    assert caught.value.code == "no-file-server"


@pytest.mark.parametrize("key_type", [KeyType.P256], indirect=True)  # this server is Python's own
def test_a_server_without_mutual_tls_is_recognised(run: Run, folder: Folder, tmp_path: Path) -> None:
    web = folder.files("web")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(web.certificate, web.key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):  # the client, and its second look
            plain, _ = listener.accept()
            with suppress(OSError), context.wrap_socket(plain, server_side=True) as tls:
                tls.recv(16_384)
                tls.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>")
                while tls.recv(16_384):
                    pass

    thread = threading.Thread(target=serve)
    thread.start()
    with run() as server:
        error = refusal(server, address=ServerAddress("127.0.0.1", listener.getsockname()[1]))
    thread.join(10)
    listener.close()
    assert error.code == "no-mutual-tls"
    assert "did not ask for a client certificate" in error.why


def test_proxies_and_bundles_of_the_shell_have_no_influence(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, os.devnull)
    with server.session() as session:
        assert list_files(session.first) == ()
