"""Broken servers, each a real one on loopback; what mends it happens on its machine, and is played here."""

from __future__ import annotations

import io
import shlex
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keystead.machine.clock import system_clock
from keystead.pki.names import TrustDomain
from keystead.subscriber.fileclient.address import ServerAddress
from keystead.subscriber.fileserver.app import make_app
from keystead.subscriber.fileserver.limits import UploadLimits
from keystead.subscriber.fileserver.material import open_material
from keystead.subscriber.fileserver.shelf import open_store
from keystead.subscriber.layout import Folder
from keystead.watch.doctor import examination
from keystead.watch.doctor.outcomes import Diagnosis
from keystead.web.server import serving
from tests.tls.throwaway import Environment
from tests.watch.doctor.practice import Finding, Practice, codes

Serve = Callable[[], AbstractContextManager[str]]


@pytest.fixture
def web(practice: Practice) -> Path:
    """The server's machine: a folder with the certificate of `web`, for the localhost trio."""
    return made(practice, "web", "--san localhost")


def made(practice: Practice, name: str, options: str) -> Path:
    """The folder `certs` of the machine on which the server `name` is."""
    machine = machine_of(practice, name)
    machine.mkdir()
    practice.type_in(machine, f"keystead csr {name} --profile server {options}")
    shutil.copy(machine / f"certs/{name}.csr", practice.office)
    practice.type_in(practice.office, f"keystead ca sign {name}.csr --profile server")
    shutil.copy(practice.office / f"{name}.pem", machine)
    practice.type_in(machine, f"keystead install {name}.pem")
    return machine / "certs"


def machine_of(practice: Practice, name: str) -> Path:
    return practice.here.with_name(f"{name}-machine")


def heal_there(practice: Practice, name: str, finding: Finding) -> None:
    """Type what doctor says, on the server's machine and on the CA's."""
    machine = machine_of(practice, name)
    for step in finding.mend:
        if step.where.startswith("on the CA's machine"):
            shutil.copy(machine / f"certs/{name}.csr", practice.office)
            practice.type_in(practice.office, step.command)
            shutil.copy(practice.office / f"{name}.pem", machine)
        else:
            assert step.where.startswith("on the server's machine")
            practice.type_in(machine, step.command)


@contextmanager
def good_server(folder: Path) -> Iterator[str]:
    material = open_material(folder, None, folder / "crl.pem")
    store = open_store(folder / "uploads", material.material.trust_domain)
    app = make_app(store, UploadLimits(spare=0))
    with serving(app, material.source, listen=["127.0.0.1:0"], log=io.StringIO()) as (address,):
        yield f"https://127.0.0.1:{address.port}"


@contextmanager
def answering(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does with each connection what ``speak`` does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def run() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    speak(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield f"https://127.0.0.1:{port}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


@contextmanager
def tls_server(chain: Path, key: Path, *, asks: bool = True, newest: str = "TLSv1_3") -> Iterator[str]:
    """A TLS server of somebody else's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    context.maximum_version = ssl.TLSVersion[newest]
    if asks:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(chain)

    def speak(connection: socket.socket) -> None:
        connection.settimeout(5)
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(1)

    with answering(speak) as url:
        yield url


@contextmanager
def server_of(environment: Environment, place: Path, *, uri: str | None = None) -> Iterator[str]:
    leaf = environment.leaf("web", "server", uri=uri)
    (place / "other.crt").write_bytes(leaf.chain_pem)
    (place / "other.key").write_bytes(leaf.key_pem)
    with tls_server(place / "other.crt", place / "other.key") as url:
        yield url.replace("127.0.0.1", "localhost")


def refused_by(practice: Practice, url: str, code: str) -> None:
    """Doctor names ``code`` alone, and says what is typed."""
    findings = practice.examine(url)
    assert codes(findings) == [code], findings
    assert all(finding.mend for finding in findings)


def silent_at(practice: Practice, web: Path) -> None:
    with good_server(web) as url:
        assert practice.examine(url) == ()


def test_a_good_server_is_left_in_peace(practice: Practice, web: Path) -> None:
    silent_at(practice, web)


def test_nobody_listens(practice: Practice, web: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    refused_by(practice, f"https://127.0.0.1:{port}", "server-unreachable")
    silent_at(practice, web)


def test_a_server_of_plain_http(practice: Practice, web: Path) -> None:
    def speak(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")

    with answering(speak) as url:
        refused_by(practice, url, "server-plain")
    silent_at(practice, web)


def test_a_server_with_no_client_authentication(practice: Practice, web: Path) -> None:
    with tls_server(web / "web.crt", web / "web.key", asks=False) as url:
        refused_by(practice, url, "server-asks-nobody")
    silent_at(practice, web)


def test_a_server_of_old_tls(practice: Practice, web: Path) -> None:
    with tls_server(web / "web.crt", web / "web.key", newest="TLSv1_2") as url:
        refused_by(practice, url, "server-old-tls")
    silent_at(practice, web)


def test_a_proxy_in_between(practice: Practice, web: Path, tmp_path: Path) -> None:
    proxy = Environment(TrustDomain.of("dev", "proxy.internal"))
    with server_of(proxy, tmp_path, uri="") as url:
        refused_by(practice, url, "server-not-ours")
    silent_at(practice, web)


def test_a_server_of_another_environment(practice: Practice, web: Path, tmp_path: Path) -> None:
    other = Environment(TrustDomain.of("test", "example.internal"))
    with server_of(other, tmp_path) as url:
        refused_by(practice, url, "server-of-another-environment")
    silent_at(practice, web)


def test_a_server_that_leaves_its_ca_out(practice: Practice, web: Path, tmp_path: Path) -> None:
    leaf = (web / "web.crt").read_text().partition("-----END CERTIFICATE-----")
    (tmp_path / "alone.crt").write_text(f"{leaf[0]}{leaf[1]}\n")
    with tls_server(tmp_path / "alone.crt", web / "web.key") as url:
        refused_by(practice, url, "server-chain-incomplete")
    silent_at(practice, web)


def test_a_server_that_is_called_otherwise(practice: Practice) -> None:
    far = made(practice, "far", "--san far.example.org")
    with good_server(far) as url:
        (finding,) = practice.examine(url)
    assert finding.code == "server-other-host"
    heal_there(practice, "far", finding)
    silent_at(practice, far)


def test_a_server_that_puts_a_command_into_its_name(practice: Practice, tmp_path: Path) -> None:
    environment = Environment(TrustDomain.of("dev", "example.internal"))
    leaf = environment.leaf("x; touch gotcha #", "server", uri="")
    (tmp_path / "other.crt").write_bytes(leaf.chain_pem)
    (tmp_path / "other.key").write_bytes(leaf.key_pem)
    with tls_server(tmp_path / "other.crt", tmp_path / "other.key") as url:
        findings = practice.examine(url)
    lines = [step.command for finding in findings for step in finding.mend]
    assert any("gotcha" in line for line in lines)
    assert all("touch" not in shlex.split(line) for line in lines)


def test_a_server_that_is_certified_as_a_client(practice: Practice, web: Path, tmp_path: Path) -> None:
    with tls_server(practice.certs / "alice.crt", practice.certs / "alice.key") as url:
        assert codes(practice.examine(url)) == ["server-other-host", "server-wrong-purpose"]
    silent_at(practice, web)


def test_a_server_that_is_revoked(practice: Practice, web: Path) -> None:
    far = made(practice, "far", "--san localhost")
    practice.type_in(practice.office, "keystead ca revoke far --reason superseded")
    practice.type_in(practice.office, "keystead ca crl --out crl.pem")
    shutil.copy(practice.office / "crl.pem", practice.certs / "crl.pem")
    with good_server(far) as url:
        refused_by(practice, url, "server-revoked")
    silent_at(practice, web)


def test_a_server_that_refuses_this_certificate(practice: Practice, web: Path) -> None:
    practice.type_in(practice.office, "keystead ca revoke alice --reason superseded")
    practice.type_in(practice.office, "keystead ca crl --out crl.pem")
    shutil.copy(practice.office / "crl.pem", web / "crl.pem")
    with good_server(web) as url:
        (refusal,) = practice.examine(url)
        assert refusal.code == "server-refuses"
        assert "revoked" in refusal.text
    shutil.rmtree(practice.certs)
    (practice.here / "certs").mkdir(mode=0o700)
    practice.subscribe("bob")
    silent_at(practice, web)


@pytest.mark.parametrize(("days", "code"), [(80, "server-ends-soon"), (100, "server-expired")])
def test_a_server_s_end(practice: Practice, web: Path, days: int, code: str) -> None:
    found = _seen_at(practice, web, datetime.now(UTC) + timedelta(days=days))
    assert code in found
    silent_at(practice, web)


def test_a_server_that_is_not_valid_yet(practice: Practice, web: Path) -> None:
    found = _seen_at(practice, web, datetime.now(UTC) - timedelta(days=1))
    assert "server-not-yet-valid" in found
    silent_at(practice, web)


@pytest.mark.parametrize("minutes", [-4, 10])
def test_the_clock_is_compared_with_the_server_s(practice: Practice, web: Path, minutes: int) -> None:
    found = _seen_at(practice, web, system_clock() + timedelta(minutes=minutes))
    assert found == (["clock-skew"] if minutes == 10 else [])


def _seen_at(practice: Practice, web: Path, now: datetime) -> list[str]:
    """What is found at the server by a client whose clock says ``now``."""
    with good_server(web) as url:
        address = ServerAddress.parse(url)
        outcomes = examination.of_server(address, Folder(practice.certs), lambda: now)
        return [finding.code for finding in Diagnosis.of(outcomes).findings]
