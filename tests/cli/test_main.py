from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keystead.cli.commands import cli

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


@pytest.mark.parametrize("group", [[], ["ca"]])
def test_a_group_without_a_command_shows_its_help_as_help(
    group: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(group, standalone_mode=False) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("Usage: ")
    assert "\nCommands:\n" in shown


COLLECTOR_IN_A_COMMAND = """
import gc, sys
import click
from keystead.cli import commands
from keystead.cli.lazy import Entry
from keystead.cli.main import main

sys.modules["probed"] = probed = type(sys)("probed")
probed.probe = click.Command("probe", callback=lambda: print(gc.isenabled(), gc.get_freeze_count() > 1000))
commands.COMMANDS["probe"] = Entry("probed:probe", "")
sys.argv = ["keystead", "probe"]
main()
"""


@pytest.mark.slow
def test_a_command_runs_with_the_collector_on_which_passes_over_what_start_up_made() -> None:
    done = subprocess.run([sys.executable, "-c", COLLECTOR_IN_A_COMMAND], capture_output=True, text=True)
    assert done.stdout == "True True\n", done.stderr
