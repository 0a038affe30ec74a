"""ML-DSA-65 from `ca init` to an upload, by the installed command on a Python whose `ssl` cannot read it."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyrage
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey

from tests.e2e.conftest import PATIENCE, Machine, Server

pytestmark = pytest.mark.slow

QUANTUM = ("--key-type", "ml-dsa-65")
EXPERIMENTAL = "warning: ML-DSA-65 (FIPS 204, RFC 9881) is experimental"

Certified = Callable[..., None]


@pytest.fixture
def credentials(machine: Machine) -> dict[str, str]:
    """What systemd hands over: the age identity to which the keys of staging are sealed."""
    folder = machine.folder / "credentials"
    folder.mkdir(mode=0o700)
    (folder / "keystead-identity").touch(mode=0o600)
    (folder / "keystead-identity").write_text(f"{pyrage.x25519.Identity.generate()}\n")
    return {"CREDENTIALS_DIRECTORY": str(folder)}


@pytest.fixture
def certified(machine: Machine, credentials: dict[str, str]) -> Certified:
    """Makes, signs and installs an identity with an ML-DSA key, in a folder of its own."""

    def make(name: str, *, profile: str = "client", env: str = "dev") -> None:
        machine.ok("csr", name, "--profile", profile, "--dir", name, *QUANTUM)
        sign = ("ca", "sign", f"{name}/{name}.csr", "--profile", profile, "--env", env)
        assert EXPERIMENTAL in machine.ok(*sign, "--out", f"outbox/{env}", **credentials).err
        machine.ok("install", f"outbox/{env}/{name}.pem", "--dir", name)

    return make


@pytest.fixture
def server(machine: Machine, certified: Certified) -> Iterator[Server]:
    """A server of dev, whose CA and key are post-quantum, and a file to send."""
    said = machine.ok("ca", "init", "--no-passphrase", *QUANTUM)
    assert EXPERIMENTAL in said.err
    certified("web", profile="server")
    certified("alice")
    (machine.folder / "report.bin").write_bytes(bytes(range(256)) * 8192)
    with machine.serving("--dir", "web") as running:
        yield running


def chain(path: Path) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_pem_x509_certificates(path.read_bytes()))


def test_a_file_goes_there_and_comes_back(machine: Machine, server: Server) -> None:
    assert "ML-DSA-65" in machine.ok("show", "alice/alice.key").out
    machine.ok("upload", "report.bin", "--dir", "alice", "--to", server.url)
    machine.ok("get", "report.bin", "--dir", "alice", "--to", server.url, "--out", "back")
    assert (machine.folder / "back/report.bin").read_bytes() == (machine.folder / "report.bin").read_bytes()
    assert "all is well" in machine.ok("doctor", server.url, "--dir", "alice").out


def test_python_s_own_tls_cannot_read_it_and_cryptography_verifies_it(
    machine: Machine, server: Server
) -> None:
    leaf, issuing = chain(machine.folder / "alice/alice.crt")
    (root,) = chain(machine.folder / "alice/ca.crt")
    for certificate, issuer in ((leaf, issuing), (issuing, root), (root, root)):
        assert isinstance(certificate.public_key(), MLDSA65PublicKey)
        certificate.verify_directly_issued_by(issuer)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not (usage.key_encipherment or usage.key_agreement or usage.key_cert_sign or usage.crl_sign)
    if ssl.OPENSSL_VERSION_INFO < (3, 5):
        with pytest.raises(ssl.SSLError):
            folder = machine.folder / "alice"
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
                folder / "alice.crt", folder / "alice.key"
            )


def test_it_is_exported_as_pem_and_not_as_pkcs12(machine: Machine, server: Server) -> None:
    machine.ok("export", "alice", "--dir", "alice", "--pem", "alice.pem")
    (machine.folder / "passphrase").touch(mode=0o600)
    (machine.folder / "passphrase").write_text("correct horse battery staple")
    words = ("--p12", "alice.p12", "--passphrase-file", "passphrase")
    refused = machine.refused("export", "alice", "--dir", "alice", *words)
    assert "keystead export alice --pem FILE" in refused.err


def test_a_renewal_proves_itself_by_the_old_key(machine: Machine, server: Server) -> None:
    before = (machine.folder / "alice/alice.key").read_bytes()
    machine.ok("csr", "alice", "--renew", "--dir", "alice")
    machine.ok("ca", "sign", "alice/alice.csr", "--out", "outbox/dev")
    machine.ok("install", "outbox/dev/alice.pem", "--dir", "alice")
    assert (machine.folder / "alice/alice.key").read_bytes() != before
    machine.ok("upload", "report.bin", "--dir", "alice", "--to", server.url)


def test_a_revoked_client_is_refused_and_told(machine: Machine, server: Server) -> None:
    machine.ok("ca", "revoke", "alice", "--reason", "superseded")
    machine.ok("ca", "crl", "--out", "web/crl.pem")
    deadline = time.monotonic() + PATIENCE
    while (done := machine.run("ls", "--dir", "alice", "--to", server.url)).code == 0:
        assert time.monotonic() < deadline
    assert "its certificate is revoked" in done.err


def test_a_client_of_another_environment_is_refused_and_told(
    machine: Machine, server: Server, certified: Certified, credentials: dict[str, str]
) -> None:
    machine.ok("ca", "init", "--env", "staging", *QUANTUM, **credentials)
    assert (machine.folder / ".keystead/staging/issuing.key.age").exists()
    certified("bob", env="staging")
    refused = machine.refused("upload", "report.bin", "--dir", "bob", "--to", server.url)
    assert "is not trusted" in refused.err
    assert "issued by 'keystead dev issuing'" in refused.err
    assert "trusts 'keystead staging root' only" in refused.err


def test_a_ca_of_other_keys_signs_it_only_where_a_profile_says_so(
    machine: Machine, certified: Certified
) -> None:
    machine.ok("ca", "init", "--no-passphrase")
    machine.ok("csr", "alice", *QUANTUM)
    refused = machine.refused("ca", "sign", "certs/alice.csr", "--out", "outbox/dev")
    assert "takes no keys of the experimental type ML-DSA-65" in refused.err
    config = machine.folder / ".keystead/dev/ca.toml"
    trial = '\n[profiles.client]\npurposes = ["clientAuth"]\nlifetime = "7d"\npost-quantum = true\n'
    config.write_text(config.read_text() + trial)
    certified("carol")
