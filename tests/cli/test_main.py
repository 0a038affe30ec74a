from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN_THEN_USE_OPENSSL = """
import sys
from keystead.cli.main import main
sys.argv = ["keystead", "--version"]
try:
    main()
except SystemExit:
    pass
from OpenSSL import SSL
SSL.Context(SSL.TLS_METHOD)
"""


@pytest.mark.slow
def test_a_configuration_of_openssl_in_the_environment_has_no_say(tmp_path: Path) -> None:
    hostile = tmp_path / "openssl.cnf"
    hostile.write_text(
        "openssl_conf = a\nconfig_diagnostics = 1\n"
        "[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nNoSuchCommand = 1\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", RUN_THEN_USE_OPENSSL],
        env={**os.environ, "OPENSSL_CONF": str(hostile)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
