"""`keystead serve APP`: any ASGI application behind the same door, which tells it who calls."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from tests.e2e.conftest import Machine

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("dev_ca")]

APPLICATION = """
import json
import keystead

async def app(scope, receive, send):
    assert scope["type"] == "http"
    peer = keystead.peer(scope)
    tls = scope["extensions"]["tls"]
    seen = {
        "identity": peer.identity.uri,
        "serial": peer.serial,
        "tls_version": tls["tls_version"],
        "chain": len(tls["client_cert_chain"]),
        "name": tls["client_cert_name"],
    }
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
"""


def test_an_application_sees_the_peer_and_its_typed_identity(
    machine: Machine, certified: Callable[..., None]
) -> None:
    certified("server", profile="server")
    certified("alice")
    (machine.folder / "service.py").write_text(APPLICATION)
    with machine.serving("--dir", "server", "service:app") as server:
        asked = subprocess.run(
            [
                *("curl", "-sS", "--cacert", "alice/ca.crt", "--cert", "alice/alice.crt"),
                *("--key", "alice/alice.key", f"{server.url}/anything"),
            ],
            cwd=machine.folder,
            capture_output=True,
            text=True,
        )
        stranger = subprocess.run(
            ["curl", "-sS", "--cacert", "alice/ca.crt", f"{server.url}/anything"],
            cwd=machine.folder,
            capture_output=True,
            text=True,
        )
    seen = json.loads(asked.stdout)
    assert seen["identity"] == "spiffe://dev.keystead.internal/client/alice"
    assert seen["tls_version"] == 0x0304
    assert seen["chain"] >= 2
    assert stranger.returncode != 0
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    ("application", "reason"),
    [("service", "a module, a colon"), ("nowhere:app", "no module"), ("service:nothing", "has no 'nothing'")],
)
def test_an_application_that_is_not_there_is_said(
    machine: Machine, certified: Callable[..., None], application: str, reason: str
) -> None:
    certified("server", profile="server")
    (machine.folder / "service.py").write_text(APPLICATION)
    ran = machine.run("serve", "--dir", "server", "--listen", "localhost:0", application)
    assert ran.code in (1, 2)
    assert reason in ran.err


def test_a_new_certificate_and_a_new_list_are_in_force_without_a_restart(
    machine: Machine, certified: Callable[..., None]
) -> None:
    certified("server", profile="server")
    certified("alice")
    (machine.folder / "f").write_text("x")
    with machine.serving("--dir", "server") as server:
        before = machine.ok("show", server.url, "--json").out
        machine.ok("csr", "server", "--renew", "--dir", "server")
        machine.ok("ca", "sign", "server/server.csr", "--out", "outbox/dev")
        machine.ok("install", "outbox/dev/server.pem", "--dir", "server")
        for _ in range(100):
            if machine.ok("show", server.url, "--json").out != before:
                break
        else:
            raise AssertionError("the server still shows its old certificate")
        machine.ok("upload", "f", "--dir", "alice", "--to", server.url)
