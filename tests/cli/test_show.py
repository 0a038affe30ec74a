from __future__ import annotations

import json
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.pki.keys import load_private_pem
from tests.cli.conftest import Keystead, Outcome
from tests.subscriber.throwaway_ca import ThrowawayCa

ARMORED = b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n"


def said(outcome: Outcome) -> list[dict[str, object]]:
    assert outcome.code == 0, outcome.err
    found: list[dict[str, object]] = json.loads(outcome.out)
    return found


def test_a_certificate_says_whose_it_is_and_until_when(keystead: Keystead, alice: Path) -> None:
    done = keystead("show", "certs/alice.crt")
    assert "certificate of alice" in done.out
    assert "spiffe://dev.example.internal/client/alice" in done.out
    assert "29 days left" in done.out
    assert "client (clientAuth)" in done.out
    assert "CA certificate of example dev issuing" in done.out


def test_a_bundle_is_shown_whole(keystead: Keystead, alice: Path) -> None:
    kinds = [entry["kind"] for entry in said(keystead("show", "alice.pem", "--json"))]
    assert kinds == ["certificate", "certificate", "certificate", "crl", "crl"]


def test_a_csr_says_what_it_asks_for(keystead: Keystead, tmp_path: Path) -> None:
    keystead("csr", "web", "--profile", "server", "--san", "web.example.org")
    (shown,) = said(keystead("show", "certs/web.csr", "--json"))
    assert shown["common_name"] == "web"
    assert shown["host_names"] == ["web.example.org"]
    assert shown["warnings"] == []


def test_of_a_key_nothing_but_its_public_half_is_shown(keystead: Keystead, alice: Path) -> None:
    pem = (alice / "alice.key").read_text()
    for done in (keystead("show", "certs/alice.key"), keystead("show", "certs/alice.key", "--json")):
        assert done.code == 0
        shown = done.out + done.err
        assert all(line not in shown for line in pem.splitlines()[1:-1])
        assert "P-256" in shown
        assert "never copy it" in shown


def test_a_key_that_others_can_read_is_warned_of(keystead: Keystead, alice: Path) -> None:
    (alice / "alice.key").chmod(0o644)
    assert "chmod 600 certs/alice.key" in keystead("show", "certs/alice.key").err


def test_a_sealed_key_is_named_as_such(keystead: Keystead, tmp_path: Path) -> None:
    (tmp_path / "issuing.key.age").write_bytes(ARMORED)
    assert "sealed with age" in keystead("show", "issuing.key.age").out


@pytest.mark.parametrize("start", [b"", ARMORED])
def test_a_backup_is_not_taken_for_a_key(keystead: Keystead, tmp_path: Path, start: bytes) -> None:
    (tmp_path / "a.backup").write_bytes(start + b"age-encryption.org/v1\n-> X25519 x\n\0\1")
    done = keystead("show", "a.backup")
    assert done.code == 1
    assert "keystead ca backup --verify a.backup" in done.err


def test_an_encrypted_key_is_not_opened(keystead: Keystead, alice: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = load_private_pem((alice / "alice.key").read_bytes(), "key")
    encryption = serialization.BestAvailableEncryption(b"x")
    pem = key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    (tmp_path / "locked.key").write_bytes(pem)
    assert "encrypted with a passphrase" in keystead("show", "locked.key").out


def test_a_list_says_who_is_on_it(keystead: Keystead, alice: Path, ca: ThrowawayCa, tmp_path: Path) -> None:
    ca.revoke(ca.issued[-1])
    (tmp_path / "crl.pem").write_bytes(ca.crl_pem())
    issuing, root = said(keystead("show", "crl.pem", "--json"))
    assert f"{ca.issued[-1].serial_number:x}" in str(issuing["revoked"])
    assert root["revoked"] == []


@pytest.mark.parametrize("name", ["alice.crt", "alice.csr", "crl.pem"])
def test_der_is_read_as_well(keystead: Keystead, alice: Path, ca: ThrowawayCa, name: str) -> None:
    der = {
        "alice.crt": ca.issued[-1].public_bytes(Encoding.DER),
        "alice.csr": x509.load_pem_x509_csr((alice / "alice.csr").read_bytes()).public_bytes(Encoding.DER),
        "crl.pem": x509.load_pem_x509_crl(ca.crl_pem()).public_bytes(Encoding.DER),
    }[name]
    (alice / name).write_bytes(der)
    assert len(said(keystead("show", f"certs/{name}", "--json"))) == 1


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x30\x03\x02\x01", b"-----BEGIN X-----\nAA\n-----END X-----\n"]
)
def test_what_is_nothing_known_says_so(keystead: Keystead, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "f").write_bytes(data)
    refused = keystead("show", "f")
    assert refused.code == 1
    assert "holds nothing that keystead knows" in refused.err
    assert "mend:" in refused.err


def test_no_file_is_said(keystead: Keystead) -> None:
    refused = keystead("show", "nowhere.pem")
    assert refused.code == 1
    assert "there is no such file" in refused.err


def test_of_a_folder_status_says_what_is_in_it(keystead: Keystead, alice: Path) -> None:
    refused = keystead("show", "certs")
    assert refused.code == 1
    assert "or, for all that ends there: keystead status --dir certs\n" in refused.err
    assert keystead("status", "--dir", "certs").code == 0


def test_of_a_pkcs12_file_the_command_that_opens_it_is_named(
    keystead: Keystead, alice: Path, tmp_path: Path
) -> None:
    (tmp_path / "passphrase").write_text("correct horse battery")
    (tmp_path / "passphrase").chmod(0o600)
    keystead("export", "alice", "--p12", "alice.p12", "--passphrase-file", "passphrase")
    refused = keystead("show", "alice.p12")
    assert refused.code == 1
    assert "alice.p12 is a PKCS#12 file" in refused.err
    assert "  mend: openssl pkcs12 -info -nokeys -in alice.p12\n" in refused.err


@pytest.mark.parametrize(
    "url", ["http://localhost:1", "https://", "https://u:secret@localhost", "ftp://x", "https://localhost:x"]
)
def test_only_an_https_url_without_a_password_is_taken(keystead: Keystead, url: str) -> None:
    refused = keystead("show", url)
    assert refused.code == 2
    assert "secret" not in refused.err


def test_hostile_names_are_escaped(keystead: Keystead, ca: ThrowawayCa, tmp_path: Path) -> None:
    from keystead.pki import csr
    from keystead.pki.keys import KeyType, generate

    hostile = csr.build(generate(KeyType.P256), common_name="a\x1b[2Jb\u202e", purposes=[])
    (tmp_path / "hostile.csr").write_bytes(hostile.public_bytes(Encoding.PEM))
    done = keystead("show", "hostile.csr")
    assert done.code == 0
    assert "\x1b[2J" not in done.out
    assert "\u202e" not in done.out


@pytest.mark.parametrize("scheme", ["https://", ""])
def test_an_endpoint_is_shown_without_being_trusted(
    keystead: Keystead, ca: ThrowawayCa, tmp_path: Path, scheme: str
) -> None:
    keystead("csr", "web", "--profile", "server", "--san", "localhost")
    leaf = ca.sign((tmp_path / "certs/web.csr").read_bytes(), profile="server")
    (tmp_path / "certs/web.crt").write_bytes(ca.chain_pem(leaf))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certs/web.crt", tmp_path / "certs/web.key")
    context.verify_mode = ssl.CERT_OPTIONAL

    def answer_once() -> None:
        connection, _ = listener.accept()
        with suppress(OSError), connection, context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        answering = Thread(target=answer_once)
        answering.start()
        address = f"{scheme}127.0.0.1:{listener.getsockname()[1]}"
        endpoint, shown, issuing = said(keystead("show", address, "--json"))
        answering.join(10)
    assert endpoint["kind"] == "endpoint"
    assert endpoint["protocol"] == "TLSv1.3"
    assert endpoint["asks_for_certificate"] is True
    assert shown["identity"] == "spiffe://dev.example.internal/server/web"
    assert issuing["purposes"] == []


def test_a_file_that_is_called_like_an_endpoint_is_the_file(keystead: Keystead, alice: Path) -> None:
    (alice / "alice.crt").rename("localhost:1")
    assert keystead("show", "localhost:1").out.startswith("certificate of alice")
