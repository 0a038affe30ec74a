"""What a command may import. Nothing is timed here: that is what `bench` is for."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = frozenset(
    {"alembic", "asyncio", "badkeys", "httpx2", "OpenSSL", "pyrage", "rich", "sqlalchemy", "ssl", "uvicorn"}
)
READS_CERTIFICATES = frozenset(
    f"keystead.{module}"
    for module in ("pki.certificates", "pki.chains", "pki.revocation", "subscriber.folder", "subscriber.pair")
)

RUN_AND_LIST = """
import atexit, sys
atexit.register(lambda: print("\\nloaded:", *sys.modules))
from keystead.cli.main import main
main()
"""


def loaded_by(command: list[str]) -> set[str]:
    done = subprocess.run([sys.executable, "-c", RUN_AND_LIST, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("loaded:")[2].split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "unneeded"),
    [
        ("--version", HEAVY | READS_CERTIFICATES | {"cryptography"}),
        ("--help", HEAVY | READS_CERTIFICATES | {"cryptography", "pathlib"}),
        ("csr --help", HEAVY | READS_CERTIFICATES),
        ("csr bob", HEAVY | READS_CERTIFICATES | {"keystead.subscriber.renewal"}),
        ("csr web --profile server", HEAVY | READS_CERTIFICATES | {"keystead.subscriber.renewal"}),
        ("csr alice --renew", HEAVY | {"keystead.pki.chains"}),
        ("install alice.pem", HEAVY - {"OpenSSL"}),
        ("show certs/alice.crt", HEAVY),
        ("status --json", HEAVY),
        ("export alice --pem alice-all.pem", HEAVY),
    ],
)
@pytest.mark.usefixtures("alice")
def test_a_command_starts_without_what_it_does_not_need(command: str, unneeded: frozenset[str]) -> None:
    assert sorted(unneeded & loaded_by(command.split())) == []
