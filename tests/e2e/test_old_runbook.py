"""The runbook of the old openssl scripts, typed verbatim by somebody who knows no other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import PATIENCE, Machine

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parents[2] / "examples" / "scripts"

BEFORE_THE_SERVER = """\
cd webserver/certs
./generate-server-certs.sh
cd ../../test-client/certs
./generate-csr.sh test-client
cp test-client.csr ../../webserver/certs/
cd ../../webserver/certs
./sign-client-cert.sh test-client.csr test-client
cp test-client.crt ca.crt ../../test-client/certs/
cd ../../test-client/certs
mv test-client.key client.key
mv test-client.crt client.crt
"""

WITH_THE_SERVER = """\
cd test-client
python test-client.py upload/test.txt
"""


@pytest.fixture
def scripts(machine: Machine) -> Path:
    """A copy of the scripts, as in a checkout whose `keystead` is on PATH."""
    copy = machine.folder / "scripts"
    shutil.copytree(SCRIPTS, copy, ignore=shutil.ignore_patterns("*.key", "*.crt", "*.csr", "*.pem"))
    return copy


def typed(machine: Machine, lines: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Type ``lines`` into a shell in the scripts' folder, without a terminal."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-e"],
        cwd=machine.folder / "scripts",
        input=lines,
        env=machine.environment(PATH=path, **environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_the_runbook_from_cd_to_upload(machine: Machine, scripts: Path) -> None:
    prepared = typed(machine, BEFORE_THE_SERVER)
    assert prepared.returncode == 0, prepared.stdout + prepared.stderr
    assert str(machine.folder / ".keystead/dev") in prepared.stdout
    with machine.serving("--dir", "scripts/webserver/certs") as server:
        sent = typed(machine, WITH_THE_SERVER, KEYSTEAD_SERVER=server.url)
    assert sent.returncode == 0, sent.stdout + sent.stderr
    arrived = [path for path in machine.folder.rglob("test.txt") if "upload" not in path.parts]
    assert [path.read_bytes() for path in arrived] == [(SCRIPTS / "test-client/upload/test.txt").read_bytes()]
    assert not list(scripts.rglob("ca.key"))
    assert not list((scripts / "webserver").rglob("*client*.key"))


def test_everything_on_one_machine(machine: Machine, scripts: Path) -> None:
    made = typed(machine, "cd webserver/certs && ./generate-certs.sh && ./generate-certs.sh")
    assert made.returncode == 0, made.stdout + made.stderr
    for name in ("ca.crt", "server.key", "server.crt", "client.key", "client.crt"):
        assert (scripts / "webserver/certs" / name).exists()


def test_the_signed_certificate_lies_beside_the_csr_too(machine: Machine, scripts: Path) -> None:
    typed(machine, "cd webserver/certs && ./generate-server-certs.sh")
    typed(machine, "cd test-client/certs && ./generate-csr.sh alice")
    signed = typed(machine, "webserver/certs/sign-client-cert.sh test-client/certs/alice.csr alice")
    assert signed.returncode == 0, signed.stdout + signed.stderr
    for folder in ("webserver/certs", "test-client/certs"):
        assert (scripts / folder / "alice.crt").exists()
        assert (scripts / folder / "ca.crt").exists()


def test_git_would_not_take_a_key(machine: Machine, scripts: Path) -> None:
    typed(machine, "cd webserver/certs && ./generate-certs.sh")
    git = typed(machine, "git init -q . && git add -A && git ls-files")
    assert "generate-certs.sh" in git.stdout
    assert ".key" not in git.stdout
