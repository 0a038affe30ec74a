"""Environments cannot cross: what is of `dev` is refused by `prod`, with both names, and nothing changes.

The table: what of dev is offered (key, CSR, certificate, CRL, ca.crt) to which command of prod's (ca sign,
install, serve, upload), and what somebody did by hand before. Both environments lie on one CA machine, made
once and copied for each case.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from keystead.pki.certificates import to_pem
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.names import TrustDomain
from tests.ca.office import identity_secrets
from tests.e2e.conftest import PATIENCE, Machine, Ran, Server
from tests.tls.throwaway import Environment, Pair

pytestmark = pytest.mark.slow

OURS, THEIRS = "prod", "dev"
DOMAIN = "acme.internal"
THEIR_MARK = f"{THEIRS}.{DOMAIN}\n".encode()
NAMED = {
    environment: re.compile(
        rf"\b{environment}\.{DOMAIN}|\bAcme {environment} (?:root|issuing)|\benvironment '?{environment}\b"
    )
    for environment in (OURS, THEIRS)
}
"""How an environment is named to a person: by its trust domain, by its CA, or plainly."""


@dataclass(frozen=True)
class Scene:
    """The machines, as folders: ``ca``; ``ours`` and ``theirs`` with a server "web" and a client "alice".

    ``out/ours`` and ``out/theirs`` hold what the CAs handed out. No path names an environment, so that a
    refusal that does has said it itself.
    """

    machine: Machine

    @property
    def folder(self) -> Path:
        return self.machine.folder

    def copy(self, source: str, target: str) -> None:
        """Put a file, or a folder's files, of one machine where they do not belong."""
        if (self.folder / source).is_dir():
            shutil.copytree(self.folder / source, self.folder / target, dirs_exist_ok=True)
        else:
            shutil.copy(self.folder / source, self.folder / target)

    def append(self, source: str, target: str) -> None:
        """Add a file to another, as somebody does by hand."""
        with (self.folder / target).open("ab") as file:
            file.write((self.folder / source).read_bytes())

    def put(self, target: str, data: bytes) -> None:
        """Write a file that somebody else made; a key as a key is kept."""
        path = self.folder / target
        path.write_bytes(data)
        path.chmod(0o600)

    def run(self, *words: str) -> Ran:
        return self.machine.run(
            *words, KEYSTEAD_HOME="ca", CREDENTIALS_DIRECTORY=str(self.folder / "credentials")
        )

    def ok(self, *words: str) -> Ran:
        ran = self.run(*words)
        assert ran.code == 0, ran.text
        return ran

    def state(self) -> dict[str, bytes]:
        """All files but locks and the CA's inventory, whose audit log has a line of each refusal."""
        kept = {path for path in self.folder.rglob("*") if path.is_file() and not path.name.endswith(".log")}
        kept -= {path for path in kept if path.name.startswith(("inventory.db", "keys.db-", ".lock"))}
        return {str(path): path.read_bytes() for path in kept}

    def issued(self) -> list[tuple[str, int]]:
        """How many certificates each inventory has."""
        counts = []
        for environment in (OURS, THEIRS):
            with closing(sqlite3.connect(self.folder / f"ca/{environment}/inventory.db")) as database:
                counts.append(
                    (environment, *database.execute("SELECT count(*) FROM certificates").fetchone())
                )
        return counts


def founded(machine: Machine) -> Scene:
    """A CA machine with both environments, their servers and clients; dev's alice asks for a renewal."""
    scene = Scene(machine)
    identity_secrets(machine.folder / "credentials")
    for side, environment in (("ours", OURS), ("theirs", THEIRS)):
        unsealed = ("--no-passphrase",) if environment == "dev" else ()
        scene.ok("ca", "init", "--env", environment, "--org", "Acme", "--trust-domain", DOMAIN, *unsealed)
        for name, profile in (("web", "server"), ("alice", "client")):
            scene.ok("csr", name, "--profile", profile, "--dir", f"{side}/{name}")
        for name, profile in (("web", "server"), ("alice", "client")):
            csr = f"{side}/{name}/{name}.csr"
            scene.ok("ca", "sign", csr, "--env", environment, "--profile", profile, "--out", f"out/{side}")
            scene.ok("install", f"out/{side}/{name}.pem", "--dir", f"{side}/{name}")
    shutil.copytree(machine.folder / "theirs/alice", machine.folder / "theirs/renewing")
    scene.ok("csr", "alice", "--renew", "--dir", "theirs/renewing")
    scene.put("report.txt", b"numbers")
    (machine.folder / "uploads").mkdir(mode=0o700)
    scene.put("uploads/.trust-domain", f"{OURS}.{DOMAIN}\n".encode())
    return scene


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return founded(Machine(tmp_path_factory.mktemp("crossing")))


@pytest.fixture
def scene(pristine: Scene, tmp_path: Path) -> Scene:
    return Scene(Machine(Path(shutil.copytree(pristine.folder, tmp_path / "scene"))))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, pristine: Scene) -> Iterator[Server]:
    """A `keystead serve` of prod, for all cases that call one."""
    place = Path(shutil.copytree(pristine.folder, tmp_path_factory.mktemp("serving") / "scene"))
    with Machine(place).serving("--dir", "ours/web", "--uploads", "uploads") as running:
        yield running


def uploads_of(server: Server) -> Path:
    return server.log.parent / "uploads"


@dataclass(frozen=True)
class Case:
    """``offered`` of dev, and the command of prod that must refuse it once ``tampered`` is done."""

    offered: str
    words: tuple[str, ...]
    tampered: Callable[[Scene], None] = lambda scene: None


def sign(path: str) -> tuple[str, ...]:
    return "ca", "sign", path, "--env", OURS, "--out", "out/ours"


def install(*words: str) -> tuple[str, ...]:
    return "install", *words, "--dir", "ours/alice"


SERVE = ("serve", "--dir", "ours/web", "--listen", "localhost:0", "--uploads", "uploads")
UPLOAD = ("upload", "report.txt", "--dir", "ours/alice", "--to", "SERVER")


def moved(what: str, name: str) -> Callable[[Scene], None]:
    """A file of dev's machine lies in the place of prod's."""
    return lambda scene: scene.copy(f"theirs/{name}/{what}", f"ours/{name}/{what}")


def pair_moved(name: str) -> Callable[[Scene], None]:
    def tamper(scene: Scene) -> None:
        for suffix in ("key", "crt"):
            moved(f"{name}.{suffix}", name)(scene)

    return tamper


def anchor_added(name: str) -> Callable[[Scene], None]:
    """Somebody added dev's root, and its lists, to what prod's machine trusts."""

    def tamper(scene: Scene) -> None:
        for what in ("ca.crt", "crl.pem"):
            scene.append(f"theirs/{name}/{what}", f"ours/{name}/{what}")

    return tamper


def key_and_anchor_added(scene: Scene) -> None:
    anchor_added("alice")(scene)
    scene.copy("theirs/alice/alice.key", "ours/alice/bob.key")


CASES = {
    "ca sign: a CSR whose key dev has certified": Case("CSR", sign("theirs/alice/alice.csr")),
    "ca sign: a renewal of dev's": Case("CSR", sign("theirs/renewing/alice.csr")),
    "ca sign: a certificate": Case("certificate", sign("out/theirs/alice.crt")),
    "ca sign: a CRL": Case("CRL", sign("out/theirs/crl.pem")),
    "ca sign: a ca.crt": Case("ca.crt", sign("out/theirs/ca.crt")),
    "ca sign: into a folder with dev's ca.crt": Case(
        "ca.crt", (*sign("ours/web/web.csr")[:-1], "out/theirs")
    ),
    "ca revoke: a certificate": Case(
        "certificate", ("ca", "revoke", "out/theirs/alice.crt", "--env", OURS, "--reason", "superseded")
    ),
    "install: a certificate": Case("certificate", install("out/theirs/alice.pem")),
    "install: a certificate whose key was copied too": Case(
        "key",
        install("out/theirs/alice.pem"),
        lambda scene: scene.copy("theirs/alice/alice.key", "ours/alice/bob.key"),
    ),
    "install: the same, where dev's root was added by hand": Case(
        "key", install("out/theirs/alice.pem"), key_and_anchor_added
    ),
    "install: a CSR": Case("CSR", install("theirs/renewing/alice.csr")),
    "install: a CRL": Case("CRL", install("out/theirs/crl.pem")),
    "install: a ca.crt": Case("ca.crt", install("out/theirs/ca.crt")),
    "install: one's own certificate with dev's ca.crt": Case(
        "ca.crt", install("out/ours/alice.crt", "--ca", "out/theirs/ca.crt")
    ),
    "install: one's own certificate with dev's CRL": Case(
        "CRL", install("out/ours/alice.crt", "--crl", "out/theirs/crl.pem")
    ),
    "serve: a key": Case("key", SERVE, moved("web.key", "web")),
    "serve: a certificate": Case("certificate", SERVE, moved("web.crt", "web")),
    "serve: key and certificate": Case("certificate", SERVE, pair_moved("web")),
    "serve: a CRL": Case("CRL", SERVE, moved("crl.pem", "web")),
    "serve: a CRL by option": Case("CRL", (*SERVE, "--crl", "theirs/web/crl.pem")),
    "serve: a ca.crt": Case("ca.crt", SERVE, moved("ca.crt", "web")),
    "serve: a ca.crt added by hand": Case("ca.crt", SERVE, anchor_added("web")),
    "serve: uploads of dev's": Case(
        "uploads", SERVE, lambda scene: scene.put("uploads/.trust-domain", THEIR_MARK)
    ),
    "upload: a key": Case("key", UPLOAD, moved("alice.key", "alice")),
    "upload: a certificate": Case("certificate", UPLOAD, moved("alice.crt", "alice")),
    "upload: key and certificate": Case("certificate", UPLOAD, pair_moved("alice")),
    "upload: a CRL": Case("CRL", UPLOAD, moved("crl.pem", "alice")),
    "upload: a ca.crt": Case("ca.crt", UPLOAD, moved("ca.crt", "alice")),
    "upload: a ca.crt added by hand": Case("ca.crt", UPLOAD, anchor_added("alice")),
    "upload: from dev's folder": Case(
        "everything", ("upload", "report.txt", "--dir", "theirs/alice", "--to", "SERVER")
    ),
}


ONE_NAME = {
    # A key says nothing of its environment: it is refused for what it does not fit.
    "serve: a key",
    "serve: a certificate",
    "upload: a key",
    "upload: a certificate",
    # And these are refused whosever they are.
    "install: a CSR",
    "install: a CRL",
    "install: a ca.crt",
}


@pytest.mark.parametrize("what", CASES)
def test_what_is_of_dev_is_refused_by_prod_with_both_names(scene: Scene, server: Server, what: str) -> None:
    case = CASES[what]
    case.tampered(scene)
    before, issued = scene.state(), scene.issued()
    kept = sorted(uploads_of(server).rglob("*"))

    refused = scene.run(*(server.url if word == "SERVER" else word for word in case.words))

    assert refused.code == 1, refused.text
    assert "error:" in refused.err
    if what not in ONE_NAME:
        missing = {name for name, pattern in NAMED.items() if not pattern.search(refused.text)}
        assert not missing, refused.text
    assert scene.state() == before
    assert scene.issued() == issued
    assert sorted(uploads_of(server).rglob("*")) == kept


# Where OpenSSL alone would let somebody in


def asks(scene: Scene, server: Server, folder: str) -> str:
    """What curl is told as alice of ``folder``, trusting prod: it sees to no environment itself."""
    pair = ("--cert", f"{folder}/alice.crt", "--key", f"{folder}/alice.key")
    command = ["curl", "-sS", "--cacert", "out/ours/ca.crt", *pair, f"{server.url}/whoami"]
    done = subprocess.run(command, cwd=scene.folder, capture_output=True, text=True, timeout=PATIENCE)
    return done.stdout + done.stderr


def logged(server: Server, word: str) -> dict[str, object]:
    """The first line of the server's log that holds ``word``, waited for."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for line in server.log.read_text().splitlines():
            if word in line and line.startswith("{"):
                entry: dict[str, object] = json.loads(line)
                return entry
        time.sleep(0.02)
    raise AssertionError(f"no {word} in:\n{server.log.read_text()}")


def test_a_client_of_dev_is_refused_in_the_handshake_and_the_log_names_it(
    scene: Scene, server: Server
) -> None:
    assert "unknown ca" in asks(scene, server, "theirs/alice")
    refusal = logged(server, "unknown-ca")
    assert f"spiffe://{THEIRS}.{DOMAIN}" in json.dumps(refusal)


def test_a_server_that_runs_does_not_take_an_anchor_of_dev_and_says_so(scene: Scene) -> None:
    with scene.machine.serving("--dir", "ours/web", "--uploads", "uploads") as server:
        anchor_added("web")(scene)
        warning = json.dumps(logged(server, "trusts another environment"))
        assert all(pattern.search(warning) for pattern in NAMED.values())
        assert "unknown ca" in asks(scene, server, "theirs/alice")
        assert f"{OURS}.{DOMAIN}" in asks(scene, server, "ours/alice")
        scene.ok("upload", "report.txt", "--dir", "ours/alice", "--to", server.url)
    assert [path.name for path in (scene.folder / "uploads").glob("*/*/[!.]*")] == ["report.txt"]


@dataclass
class Mallory:
    """A CA of somebody else's, which issues certificates that name prod under a root of its own."""

    uri: str

    def __post_init__(self) -> None:
        self.ca = Environment(TrustDomain(f"{OURS}.{DOMAIN}"))
        self.ca.root = self.ca.authority("Mallory root", None, path_length=1, uri=self.uri)
        self.ca.issuing = self.ca.authority("Mallory issuing", self.ca.root, path_length=0)

    def move_in(self, scene: Scene, folder: str) -> None:
        """Somebody added Mallory's root and lists by hand to what ``folder`` trusts."""
        scene.put("mallory.crt", to_pem(self.ca.root.certificate))
        scene.put("mallory.pem", self.ca.crl_pem())
        scene.append("mallory.crt", f"{folder}/ca.crt")
        scene.append("mallory.pem", f"{folder}/crl.pem")

    def issue(self, scene: Scene, folder: str, name: str, profile: str) -> Pair:
        """A certificate of prod's NAME, with its key, by Mallory, into ``folder``."""
        pair = self.ca.leaf(name, profile)
        (scene.folder / folder).mkdir(exist_ok=True)
        scene.put(f"{folder}/{name}.crt", pair.chain_pem)
        scene.put(f"{folder}/{name}.key", pair.key_pem)
        return pair


@pytest.fixture
def nameless() -> Mallory:
    """The root names no environment at all: any CA's that was not made by keystead."""
    return Mallory("")


def test_a_foreign_ca_that_names_prod_is_unknown(scene: Scene, server: Server, nameless: Mallory) -> None:
    nameless.issue(scene, "mallory", "alice", "client")
    assert "unknown ca" in asks(scene, server, "mallory")


def test_a_foreign_ca_that_names_prod_is_refused_also_where_its_root_was_added(
    scene: Scene, nameless: Mallory
) -> None:
    nameless.issue(scene, "mallory", "alice", "client")
    nameless.move_in(scene, "ours/web")
    with scene.machine.serving("--dir", "ours/web", "--uploads", "uploads") as server:
        told = asks(scene, server, "mallory")
    assert json.loads(told)["status"] == 403
    assert "Mallory root" in told
    assert not list((scene.folder / "uploads").glob("*/*/*"))


def test_a_root_of_another_name_that_was_added_is_not_served_with(scene: Scene) -> None:
    Mallory("spiffe://prod.mallory.example").move_in(scene, "ours/web")
    refused = scene.run(*SERVE)
    assert refused.code == 1
    assert "prod.mallory.example" in refused.err
    assert f"{OURS}.{DOMAIN}" in refused.err


def test_a_client_sends_nothing_to_a_server_that_a_foreign_ca_certified_for_prod(
    scene: Scene, nameless: Mallory
) -> None:
    nameless.issue(scene, "mallory", "web", "server")
    scene.put("mallory/ca.crt", to_pem(nameless.ca.root.certificate))
    scene.put("mallory/crl.pem", nameless.ca.crl_pem())
    with scene.machine.serving("--dir", "mallory", "--uploads", "uploads") as server:
        unknown = scene.run("upload", "report.txt", "--dir", "ours/alice", "--to", server.url)
        nameless.move_in(scene, "ours/alice")
        added = scene.run("upload", "report.txt", "--dir", "ours/alice", "--to", server.url)
    for refused in (unknown, added):
        assert refused.code == 1
        assert "Mallory" in refused.err
    assert not list((scene.folder / "uploads").glob("*/*/*"))


def test_two_cas_of_one_name_do_not_trust_each_other(
    scene: Scene, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Another home has an environment of the same name and trust domain: the roots tell them apart."""
    other = founded(Machine(tmp_path_factory.mktemp("namesake")))
    scene.copy(str(other.folder / "ours/alice"), "namesake")
    scene.copy(str(other.folder / "out/ours"), "out/namesake")
    roots = [fingerprint(scene, "ours/alice/ca.crt"), fingerprint(scene, "namesake/ca.crt")]

    uploaded = scene.run("upload", "report.txt", "--dir", "namesake", "--to", server.url)
    assert uploaded.code == 1
    assert "are two CAs" in uploaded.err
    assert "unknown ca" in asks(scene, server, "namesake")

    scene.copy("namesake/alice.key", "ours/alice/alice.key")
    before = scene.state()
    installed = scene.run(*install("out/namesake/alice.pem"))
    assert installed.code == 1
    assert all(root in installed.err for root in roots)
    handed_out = scene.run("ca", "sign", "ours/web/web.csr", "--env", OURS, "--out", "out/namesake")
    assert handed_out.code == 1
    assert all(root in handed_out.err for root in roots)
    assert scene.state() == before


def fingerprint(scene: Scene, path: str) -> str:
    root = x509.load_pem_x509_certificate((scene.folder / path).read_bytes())
    return str(Fingerprint.of_certificate(root))


def test_a_key_that_comes_to_the_wrong_ca_is_barred_in_both_environments(scene: Scene) -> None:
    refused = scene.run(*sign("theirs/alice/alice.key")[:-1], "elsewhere")
    assert refused.code == 1
    assert "in every environment" in refused.err
    for environment in (OURS, THEIRS):
        again = scene.run(
            "ca", "sign", "theirs/alice/alice.csr", "--env", environment, "--reissue", "--out", "x"
        )
        assert again.code == 1
        assert "barred for ever" in again.err


def test_every_subject_names_its_environment(scene: Scene) -> None:
    paths = [path for path in scene.folder.rglob("*.crt") if "uploads" not in path.parts]
    assert len(paths) > 10
    for path in paths:
        environment = THEIRS if {"theirs", THEIRS} & set(path.parts) else OURS
        for certificate in x509.load_pem_x509_certificates(path.read_bytes()):
            units = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
            assert [unit.value for unit in units] == [environment], path


def test_no_domain_makes_a_ca_of_dev_speak_for_prod(machine: Machine) -> None:
    """The environment is a trust domain's first label, and `ca init` sets it."""
    machine.ok("ca", "init", "--env", "dev", "--no-passphrase", "--trust-domain", f"{OURS}.{DOMAIN}")
    assert f"spiffe://dev.{OURS}.{DOMAIN}" in machine.ok("show", ".keystead/dev/ca.crt").out
