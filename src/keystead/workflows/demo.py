"""``keystead demo``: the whole workflow with real processes, then each refusal with its explanation.

Every step is a command that the audience could type. Not here: running them (`stage`), and showing them
(`cli.demo`).
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from socket import AF_INET, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, create_connection, socket

from keystead.errors import KeysteadError
from keystead.machine.clock import Clock, system_clock
from keystead.machine.files import write_new
from keystead.machine.folders import make_private_folder
from keystead.machine.secrets import CREDENTIALS_VARIABLE, IDENTITY_CREDENTIAL
from keystead.pki.certificates import load_certificate
from keystead.subscriber.fileclient.session import credentials_of
from keystead.tls.client import client_context
from keystead.workflows.stage import Narrator, Server, Stage

FILE_OCTETS = 24 * 1024 * 1024
USUAL_PORT = 8443
IN_FORCE_SECONDS = 10.0
"""How long a revocation may take to be in force before the demo has failed; a second is what is promised."""


def play(folder: Path, narrator: Narrator, clock: Clock = system_clock) -> None:
    """Play the whole workflow in ``folder``, which must be empty; its folders are the machines.

    Raises `KeysteadError` where anything does not go as it should: a refusal that did not come, above all.
    """
    stage = Stage(folder, narrator)
    demo = _Demo(stage, narrator, clock)
    demo.make_ca()
    demo.certify_servers()
    demo.certify_clients()
    demo.make_another_environment()
    narrator.chapter("The web server, which lets nobody in without a trusted certificate")
    with _serving(stage, "server") as server:
        demo.upload(server)
        narrator.remark("and now the refusals, each with its reason, on both sides")
        demo.refuse_nobody(server)
        demo.refuse_another_environment(server)
        demo.refuse_expired(server)
        demo.refuse_revoked(server)
    narrator.chapter("Refused by the client: a server under a name that its certificate lacks")
    with _serving(stage, "files") as elsewhere:
        demo.refuse_wrong_host(elsewhere)


@contextmanager
def _serving(stage: Stage, folder: str) -> Iterator[Server]:
    """A server on the usual port, or on any other where somebody has that one."""
    words, log = ("--dir", folder, "--listen"), f"{folder}.log"
    with ExitStack() as stack:
        server = None
        if _is_free(USUAL_PORT):
            with suppress(KeysteadError):  # somebody else was quicker
                server = stack.enter_context(stage.serving(*words, f"localhost:{USUAL_PORT}", log=log))
        yield server or stack.enter_context(stage.serving(*words, "localhost:0", log=log))


@dataclass(frozen=True, slots=True)
class _Demo:
    stage: Stage
    narrator: Narrator
    clock: Clock

    def make_ca(self) -> None:
        self.narrator.chapter("The CA's machine: a root, an issuing CA, both revocation lists")
        self.stage.keystead("ca", "init", "--no-passphrase", "--home", "ca", show=1)
        self.narrator.remark("without a passphrase, which keystead allows in the environment dev alone")

    def certify_servers(self) -> None:
        self.narrator.chapter("The web server's machine: a key that stays, a CSR that travels")
        self.stage.keystead("csr", "server", "--profile", "server", "--dir", "server", show=2)
        self.stage.keystead(
            "csr", "files", "--profile", "server", "--san", "files.example.org", "--dir", "files"
        )
        csrs = ("server/server.csr", "files/files.csr")
        self.stage.keystead("ca", "sign", *csrs, "--profile", "server", "--home", "ca", "--out", "outbox")
        self.stage.keystead("install", "outbox/server.pem", "--dir", "server", show=-1)
        self.stage.keystead("install", "outbox/files.pem", "--dir", "files")

    def certify_clients(self) -> None:
        self.narrator.chapter("A client's machine: the same, one file each way")
        self.stage.keystead("csr", "alice", "--dir", "alice", show=2)
        self.stage.keystead("ca", "sign", "alice/alice.csr", "--home", "ca", "--out", "outbox", show=1)
        self.stage.keystead("install", "outbox/alice.pem", "--dir", "alice", show=-1)
        self.narrator.remark("and one whose certificate lives for two seconds, for later")
        self.stage.keystead("csr", "late", "--dir", "late")
        self.stage.keystead("ca", "sign", "late/late.csr", "--lifetime", "2s", "--home", "ca", show=1)

    def make_another_environment(self) -> None:
        self.narrator.chapter("Another environment on the CA's machine, its keys sealed to an age identity")
        _make_age_identity(self.stage.folder / "credentials")
        handed_over = {CREDENTIALS_VARIABLE: "credentials"}
        staging = ("--env", "staging", "--home", "ca")
        self.stage.keystead("ca", "init", *staging, show=1, environment=handed_over)
        self.stage.keystead("csr", "bob", "--dir", "bob")
        self.stage.keystead(
            "ca", "sign", "bob/bob.csr", *staging, "--out", "outbox/staging", environment=handed_over
        )
        self.stage.keystead("install", "outbox/staging/bob.pem", "--dir", "bob", show=-1)

    def upload(self, server: Server) -> None:
        self.narrator.chapter("The upload, over mutual TLS")
        content = os.urandom(FILE_OCTETS)
        (self.stage.folder / "measurements.bin").write_bytes(content)
        self.stage.keystead_seen("upload", "measurements.bin", "--dir", "alice", "--to", _url(server))
        arrived = [path for path in self.stage.folder.rglob("measurements.bin") if "alice" in path.parts]
        digests = {sha256(path.read_bytes()).hexdigest() for path in arrived}
        if digests != {sha256(content).hexdigest()}:
            raise KeysteadError("the file did not arrive as it was sent", why=f"found: {arrived}")
        self.narrator.remark(f"SHA-256 here and there: {digests.pop()}")

    def refuse_nobody(self, server: Server) -> None:
        self.narrator.chapter("Refused: no certificate")
        self._knock(server, cert=None)
        self._server_says(server, "no-certificate")

    def refuse_another_environment(self, server: Server) -> None:
        self.narrator.chapter("Refused: a certificate of another environment")
        self.stage.keystead_refused(
            "upload", "measurements.bin", "--dir", "bob", "--to", _url(server), because="not trusted"
        )
        self.narrator.remark("bob's machine refused first. Told to trust the server, it is refused by it:")
        self._knock(server, cert="bob/bob")
        self._server_says(server, "unknown-ca")

    def refuse_expired(self, server: Server) -> None:
        self.narrator.chapter("Refused: an expired certificate")
        leaf = load_certificate((self.stage.folder / "late/late.crt").read_bytes(), "late/late.crt")
        over = leaf.not_valid_after_utc + timedelta(seconds=1)  # notAfter's own second is still good
        while self.clock() < over:
            time.sleep(0.05)
        self.stage.keystead_refused(
            "upload", "measurements.bin", "--dir", "late", "--to", _url(server), because="expired"
        )
        self._server_says(server, "expired")

    def refuse_revoked(self, server: Server) -> None:
        self.narrator.chapter("Refused: a revoked certificate, on open connections too")
        context = client_context(credentials_of(self.stage.folder / "alice", None), self.clock)
        kept = HTTPSConnection("localhost", server.port, context=context, timeout=IN_FORCE_SECONDS)
        kept.request("GET", "/whoami")
        seen = json.loads(_text(kept).partition(" ")[2])
        self.narrator.remark(f"a connection that stays open; the server sees {seen['identity']}")
        session = kept.sock.session
        self.stage.keystead("ca", "revoke", "alice", "--reason", "keyCompromise", "--home", "ca", show=2)
        self._carry_crl()
        self.narrator.remark(f"the same connection, a moment later: {_until_refused(kept)}")
        self.narrator.remark(f"its session, taken up again: {_resume(context, server, session)}")
        self.stage.keystead_refused(
            "upload", "measurements.bin", "--dir", "alice", "--to", _url(server), because="revoked"
        )
        self._server_says(server, "revoked")

    def refuse_wrong_host(self, elsewhere: Server) -> None:
        self.stage.keystead("csr", "carol", "--dir", "carol")
        self.stage.keystead("ca", "sign", "carol/carol.csr", "--home", "ca", "--out", "carol")
        self.stage.keystead_refused(
            "upload",
            "measurements.bin",
            "--dir",
            "carol",
            "--to",
            _url(elsewhere),
            because="files.example.org",
        )

    def _carry_crl(self) -> None:
        self.narrator.typed("cp ca/dev/crl.pem server/crl.pem")
        fresh = self.stage.folder / "server" / "crl.pem.new"
        shutil.copy(self.stage.folder / "ca/dev/crl.pem", fresh)
        fresh.replace(self.stage.folder / "server" / "crl.pem")

    def _knock(self, server: Server, cert: str | None) -> None:
        """Ask the server something as nobody, or with somebody's key, by a program that is not ours."""
        if shutil.which("curl"):
            own = ("--cert", f"{cert}.crt", "--key", f"{cert}.key") if cert else ()
            ran = self.stage.other("curl", "-sS", "--cacert", "alice/ca.crt", *own, f"{_url(server)}/whoami")
            said = ran.err.strip()
        else:
            said = _knock_with_python(self.stage.folder, server, cert)
        if not said:
            raise KeysteadError("the server let somebody in whom it must refuse", why=f"certificate: {cert}")
        self.narrator.printed(said.splitlines()[0])

    def _server_says(self, server: Server, code: str) -> None:
        deadline = time.monotonic() + IN_FORCE_SECONDS
        while not (found := [told for told in server.refusals() if told["code"] == code]):
            if time.monotonic() > deadline:
                raise KeysteadError(
                    f"the server's log does not tell of a refusal {code!r}", why=str(server.refusals())
                )
            time.sleep(0.02)
        told = found[-1]
        whom = (told.get("certificate") or {}).get("subject", "")
        reason = told.get("reason") or told.get("code")
        self.narrator.remark(f"the server's log: {reason}{f' ({whom})' if whom else ''}")


def _url(server: Server) -> str:
    return f"https://localhost:{server.port}"


def _is_free(port: int) -> bool:
    with socket(AF_INET, SOCK_STREAM) as probe:
        probe.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)  # as servers do: a port just left is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _make_age_identity(credentials: Path) -> None:
    from pyrage import x25519  # noqa: PLC0415  its stubs know no other way in

    make_private_folder(credentials)
    write_new(credentials / IDENTITY_CREDENTIAL, f"{x25519.Identity.generate()}\n".encode())


def _text(connection: HTTPSConnection) -> str:
    with connection.getresponse() as answer:
        return f"{answer.status} {answer.read(2_000).decode(errors='replace')}"


def _until_refused(connection: HTTPSConnection) -> str:
    """What becomes of a connection that is used again and again, once it is refused."""
    connection.auto_open = 0  # a connection that is made anew would be another one
    deadline = time.monotonic() + IN_FORCE_SECONDS
    while time.monotonic() < deadline:
        try:
            connection.request("GET", "/whoami")
            told = _text(connection)
        except (OSError, HTTPException) as error:
            return f"cut ({type(error).__name__})"
        if not told.startswith("200"):
            return told
        time.sleep(0.02)
    raise KeysteadError("a connection that was open goes on after its certificate was revoked")


def _resume(context: ssl.SSLContext, server: Server, session: ssl.SSLSession | None) -> str:
    plain = create_connection(("localhost", server.port), IN_FORCE_SECONDS)
    try:
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as again:
            again.sendall(b"GET /whoami HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = again.recv(1_000)
    except ssl.SSLError as error:
        return f"refused ({error.reason})"
    raise KeysteadError("a session was taken up again after its certificate was revoked", why=repr(answer))


def _knock_with_python(folder: Path, server: Server, cert: str | None) -> str:
    """What curl would have met, for machines without it; empty where the server let us in."""
    context = ssl.create_default_context(cafile=str(folder / "alice/ca.crt"))
    if cert is not None:
        context.load_cert_chain(folder / f"{cert}.crt", folder / f"{cert}.key")
    try:
        plain = create_connection(("localhost", server.port), IN_FORCE_SECONDS)
        with context.wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(b"GET /whoami HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connection.recv(1_000)
    except ssl.SSLError as error:
        return f"a client of Python's ssl: {error}"
    return ""
