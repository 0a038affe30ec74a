"""The openssl command beside us: it accepts what we make, and we accept what it makes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from keystead.errors import KeysteadError
from keystead.pki.certificates import host_names, to_pem
from keystead.pki.keys import KeyType
from keystead.pki.names import HostNames, TrustDomain
from keystead.pki.revocation import crl_to_pem
from tests.ca.office import Office, certificate, founded_home, office
from tests.pki.makers import DAY, NOW, Ca, csr_pem

__all__ = ["founded_home", "office"]

pytestmark = pytest.mark.slow

Openssl = Callable[..., bytes]


@pytest.fixture
def openssl(program: Callable[[str], str], tmp_path: Path) -> Openssl:
    """Run the openssl command in the test's folder; what it prints."""

    def run(*words: str, data: bytes = b"") -> bytes:
        done = subprocess.run(
            [program("openssl"), *words], input=data, cwd=tmp_path, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run


def write_chain(folder: Path, ca: Ca, *revoked_first: bool) -> None:
    leaf = ca.leaf("web", "server", hosts=["localhost"])
    revoked = [leaf] if revoked_first else []
    (folder / "leaf.crt").write_bytes(to_pem(leaf, ca.issuing.certificate))
    (folder / "ca.crt").write_bytes(to_pem(ca.root.certificate))
    (folder / "crl.pem").write_bytes(crl_to_pem(*ca.crls(*revoked)))


def verify(program: Callable[[str], str], folder: Path, at: float) -> str:
    strict = ("-x509_strict", "-crl_check_all", "-purpose", "sslserver", "-verify_hostname", "localhost")
    files = ("-CAfile", "ca.crt", "-CRLfile", "crl.pem", "-untrusted", "leaf.crt", "leaf.crt")
    done = subprocess.run(
        [program("openssl"), "verify", *strict, "-attime", str(int(at)), *files],
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
    )
    return done.stdout + done.stderr


# Debian's OpenSSL is older than ML-DSA.
@pytest.mark.parametrize("key_type", [found for found in KeyType if not found.is_experimental])
@pytest.mark.parametrize("url", [None, "http://pki.example.org"])
def test_openssl_verifies_our_chains_against_our_lists(
    program: Callable[[str], str], tmp_path: Path, key_type: KeyType, url: str | None
) -> None:
    write_chain(tmp_path, Ca(TrustDomain(f"prod.{key_type}.internal"), key_type, url))
    for moment in (NOW, NOW - DAY / 288, NOW + 30 * DAY):
        assert "leaf.crt: OK" in verify(program, tmp_path, moment.timestamp())


def test_openssl_refuses_what_we_revoked(program: Callable[[str], str], tmp_path: Path) -> None:
    write_chain(tmp_path, Ca(), True)
    assert "certificate revoked" in verify(program, tmp_path, NOW.timestamp())


def test_openssl_refuses_what_has_expired(program: Callable[[str], str], tmp_path: Path) -> None:
    write_chain(tmp_path, Ca())
    assert "certificate has expired" in verify(program, tmp_path, (NOW + 91 * DAY).timestamp())


NEW_KEY = {
    "P-256": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "P-384": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"),
    "P-521": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"),
    "Ed25519": ("-newkey", "ed25519"),
    "RSA 2048": ("-newkey", "rsa:2048"),
    "RSA 3072": ("-newkey", "rsa:3072"),
}
FORMS = {"PEM": (), "DER": ("-outform", "DER"), "text before it": ("-text",)}


def make_csr(openssl: Openssl, *words: str) -> bytes:
    return openssl("req", "-new", "-nodes", "-keyout", "made.key", *words)


@pytest.mark.parametrize("kind", NEW_KEY)
def test_a_csr_of_openssl_is_signed(openssl: Openssl, office: Office, kind: str) -> None:
    made = make_csr(openssl, *NEW_KEY[kind], "-subj", "/CN=alice")
    assert str(office.signed(made).identity) == "client/alice"


@pytest.mark.parametrize("form", FORMS)
def test_a_csr_of_openssl_is_signed_in_every_form(openssl: Openssl, office: Office, form: str) -> None:
    made = make_csr(openssl, *NEW_KEY["P-256"], *FORMS[form], "-subj", "/C=DE/O=Old Ltd/CN=web")
    answer = office.signed(made, profile="server", host_names=HostNames.of(["web"]))
    assert set(answer.left_out) == {"C=DE", "O=Old Ltd"}


def test_what_openssl_asks_for_in_extensions_is_read(openssl: Openssl, office: Office) -> None:
    made = make_csr(
        openssl,
        *NEW_KEY["P-256"],
        *("-subj", "/CN=web", "-addext", "subjectAltName=DNS:web.example.org,IP:10.0.0.7,DNS:localhost"),
        *("-addext", "extendedKeyUsage=serverAuth", "-addext", "keyUsage=digitalSignature"),
    )
    covered = host_names(certificate(office.signed(made, profile="server")))
    assert covered.texts == ("localhost", "web.example.org", "10.0.0.7")


HOSTILE = {
    "CA:TRUE": ("-addext", "basicConstraints=critical,CA:TRUE"),
    "a foreign URI": ("-addext", "subjectAltName=URI:spiffe://dev.example.internal/operator/root"),
    "code signing": ("-addext", "extendedKeyUsage=codeSigning"),
    "any purpose": ("-addext", "extendedKeyUsage=anyExtendedKeyUsage"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_csr_of_openssl_is_refused(openssl: Openssl, office: Office, kind: str) -> None:
    made = make_csr(openssl, *NEW_KEY["P-256"], "-subj", "/CN=alice", *HOSTILE[kind])
    assert isinstance(office.refused(made), KeysteadError)


WEAK = {
    "RSA 1024": ("-newkey", "rsa:1024"),
    "secp256k1": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"),
    "Ed448": ("-newkey", "ed448"),
}


@pytest.mark.parametrize("kind", WEAK)
def test_a_weak_csr_of_openssl_is_refused(openssl: Openssl, office: Office, kind: str) -> None:
    made = make_csr(openssl, *WEAK[kind], "-subj", "/CN=alice")
    assert office.refused(made).code in {"weak-key", "bad-csr"}


def test_a_key_with_explicit_curve_parameters_is_certified_by_the_curves_name(
    openssl: Openssl, office: Office
) -> None:
    explicit = (*NEW_KEY["P-256"], "-pkeyopt", "ec_param_enc:explicit")
    made = make_csr(openssl, *explicit, "-subj", "/CN=alice")
    told = openssl("x509", "-noout", "-text", data=to_pem(certificate(office.signed(made))))
    assert b"ASN1 OID: prime256v1" in told
    assert b"Prime:" not in told


def test_the_key_that_openssl_left_is_refused_and_barred(
    openssl: Openssl, office: Office, tmp_path: Path
) -> None:
    made = make_csr(openssl, *NEW_KEY["P-256"], "-subj", "/CN=alice")
    assert office.refused((tmp_path / "made.key").read_bytes()).code == "private-key"
    assert office.refused(made).code == "compromised-key"


@pytest.mark.parametrize("command", [("ec",), ("pkey", "-traditional"), ("pkcs8", "-topk8", "-nocrypt")])
def test_a_key_in_any_form_of_openssls_is_barred(
    openssl: Openssl, office: Office, tmp_path: Path, command: tuple[str, ...]
) -> None:
    made = make_csr(openssl, *NEW_KEY["P-256"], "-subj", "/CN=alice")
    for form in ("PEM", "DER"):
        key = openssl(command[0], *command[1:], "-in", "made.key", "-outform", form)
        assert office.refused(key).code == "private-key"
    assert office.refused(made).code == "compromised-key"


def test_openssl_reads_our_csr(openssl: Openssl) -> None:
    told = openssl("req", "-verify", "-noout", "-text", data=csr_pem("alice", hosts=["localhost"]))
    assert b"CN = alice" in told or b"CN=alice" in told
    assert b"DNS:localhost" in told
