"""A server of several workers as a program, whose `main` is called with FOLDER APP WORKERS LIMITS.

Its port is the one line on standard output, its log is standard error.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from keystead.pki.certificates import load_certificates, trust_domain_of_ca
from keystead.tls.contexts import ServerCredentials
from keystead.tls.reloading import CredentialSource
from keystead.web.gate import App
from keystead.web.limits import Limits
from keystead.web.supervisor import serve_many
from tests.web.apps import answer, read_body


async def which(scope: Any, receive: Any, send: Any) -> None:
    """Answers with its process id, and with how often its lifespan has begun."""
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["begun"] = scope["state"].get("begun", 0) + 1
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if await read_body(receive) is None:
        return
    facts = {"pid": os.getpid(), "begun": scope["state"]["begun"]}
    await answer(send, json.dumps(facts).encode())


APPS: dict[str, App] = {"which": which}


def source_of(folder: Path) -> CredentialSource:
    """As `tests.web.conftest.Folder` has it."""

    def load() -> ServerCredentials:
        anchors = load_certificates((folder / "ca.crt").read_bytes(), "ca.crt")
        chain, key = (folder / "web.crt").read_bytes(), (folder / "web.key").read_bytes()
        return ServerCredentials(chain, key, anchors, trust_domain_of_ca(anchors[0]))

    files = tuple(folder / name for name in ("web.crt", "web.key", "ca.crt"))
    return CredentialSource(load, files, folder / "crl.pem")


def make(folder: Path, app: str) -> tuple[App, CredentialSource]:
    return APPS[app], source_of(folder)


def main() -> None:
    folder, app, workers, limits = sys.argv[1:]
    serve_many(
        partial(make, Path(folder), app),
        workers=int(workers),
        listen=("127.0.0.1:0",),
        limits=Limits(**json.loads(limits)),
        log=sys.stderr,
        on_ready=lambda addresses: print(addresses[0].port, flush=True),
    )
