"""What a person at a terminal sees: bars, and a question before one CSR is signed."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from collections.abc import Callable

import pytest

from tests.e2e.conftest import KEYSTEAD, PATIENCE, Machine

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("dev_ca")]


def at_a_terminal(machine: Machine, *words: str, typed: bytes = b"", columns: str = "120") -> tuple[int, str]:
    """Run ``keystead WORDS`` with a terminal for all three streams; its exit code and what was seen."""
    ours, theirs = pty.openpty()
    environment = machine.environment(TERM="xterm", COLUMNS=columns)
    with subprocess.Popen(
        [KEYSTEAD, *words],
        cwd=machine.folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        os.write(ours, typed)
        seen = bytearray()
        try:
            while part := os.read(ours, 65_536):
                seen += part
        except OSError:  # Linux says so that the last holder of the other end has gone
            pass
        os.close(ours)
        return process.wait(PATIENCE), seen.decode()


def test_an_upload_has_a_bar_with_speed_and_time_left(
    machine: Machine, certified: Callable[..., None]
) -> None:
    certified("server", profile="server")
    certified("alice")
    (machine.folder / "report.bin").write_bytes(os.urandom(8_000_000))
    with machine.serving("--dir", "server") as server:
        code, seen = at_a_terminal(machine, "upload", "report.bin", "--dir", "alice", "--to", server.url)
    assert code == 0, seen
    assert "━" in seen
    assert "B/s" in seen
    assert "0:00:00" in seen
    assert re.search(r"\r\x1b\[2K(\x1b\[\d+m)*✓", seen), "what is done stands on a line of its own"


def test_on_80_columns_a_serial_number_can_be_copied(
    machine: Machine, certified: Callable[..., None]
) -> None:
    certified("alice")
    serial = json.loads(machine.ok("ca", "show", "alice", "--json").out)[0]["serial"]
    _, seen = at_a_terminal(machine, "ca", "list", columns="80")
    assert f"  serial  {serial}\r\n" in seen
    _, wide = at_a_terminal(machine, "ca", "list", columns="200")
    assert "serial  " + " " * 34 + " until" in re.sub(r"\x1b\[\d*m", "", wide)
    assert serial in wide


def test_signing_many_has_a_bar_and_a_summary(machine: Machine) -> None:
    for number in range(25):
        machine.ok("csr", f"c{number}", "--dir", "inbox")
    code, seen = at_a_terminal(machine, "ca", "sign", "inbox", "--out", "outbox")
    assert code == 0, seen
    assert "signing" in seen
    assert "25/25" in seen


@pytest.mark.parametrize(("typed", "code"), [(b"y\n", 0), (b"n\n", 1)])
def test_one_csr_is_shown_and_signed_only_after_a_yes(machine: Machine, typed: bytes, code: int) -> None:
    machine.ok("csr", "server", "--profile", "server", "--dir", "server")
    ended, seen = at_a_terminal(machine, "ca", "sign", "server/server.csr", typed=typed)
    assert ended == code, seen
    assert "server/server" in seen
    assert "localhost" in seen
    assert (machine.folder / "server/server.pem").exists() == (code == 0)
