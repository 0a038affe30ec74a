"""The rules of the house that no other tool holds: read from the source, or asked of a fresh interpreter."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystead.cli.commands import COMMANDS
from tests.programs import program

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "keystead"
SOURCES = sorted(PACKAGE.rglob("*.py"))

MAX_LINES = 500

UNVERIFIED = re.compile(
    r"CERT_NONE|VERIFY_NONE|CERT_OPTIONAL|verify\s*=\s*False|check_hostname\s*=\s*False"
    r"|_create_unverified_context|disable_warnings"
)
THE_PROBE = PACKAGE / "tls" / "probe.py"
MACHINE_PATH = re.compile(r"(?<![\w.~$}])/(?:work|root|tmp|home)/")
REMARK = re.compile(r"#\s*(?:noqa|type:\s*ignore)(?::\s*[A-Z0-9, ]+\b|\[[a-z, -]+\])?(?P<reason>[^\n]*)")

MAY_OPEN_THE_INVENTORY = {"ca", "dev", "demo"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def committed() -> Iterator[tuple[Path, str]]:
    """Every text file that git has, with its text."""
    command = [program("git"), "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in (data := path.read_bytes()):
            yield path, data.decode()


def imported_by(statement: str) -> set[str]:
    """The top-level packages beyond the standard library, and our own modules, that a statement loads."""
    code = f"import sys; {statement}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name for name in ran.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names}
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return loaded - set(bare.stdout.split())


def test_nothing_but_the_probe_turns_verification_off() -> None:
    found = [relative(path) for path in SOURCES if UNVERIFIED.search(path.read_text())]
    assert found == [relative(THE_PROBE)]


def test_no_option_has_a_name_that_promises_less_verification() -> None:
    wanted = re.compile(r"--(?:insecure|no-verify|skip-verif|no-check|trust-all)")
    assert [relative(path) for path in SOURCES if wanted.search(path.read_text())] == []


def test_importing_keystead_imports_nothing_else() -> None:
    assert imported_by("import keystead") == {"keystead"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=relative)
def test_a_package_s_init_imports_nothing_of_ours_and_nobody_elses(path: Path) -> None:
    imported = {
        name.partition(".")[0]
        for node in ast.parse(path.read_text()).body
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - MAY_OPEN_THE_INVENTORY))
def test_a_subscriber_s_command_imports_no_database(command: str) -> None:
    module = COMMANDS[command].target.partition(":")[0]
    packages = {name.partition(".")[0] for name in imported_by(f"import {module}")}
    assert packages.isdisjoint({"sqlalchemy", "alembic"})


def test_no_module_is_longer_than_the_wall() -> None:
    lengths = {relative(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_every_exception_from_a_rule_gives_its_reason() -> None:
    without = [
        f"{relative(path)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (remark := REMARK.search(line)) and not remark["reason"].strip(" #-")
    ]
    assert without == []


def test_the_locked_packages_come_from_the_public_index_alone() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    sources = {tuple(package["source"].items()) for package in lock["package"]}
    assert sources == {(("registry", "https://pypi.org/simple"),), (("editable", "."),)}
    urls = re.findall(r'url = "([^"]+)"', (ROOT / "uv.lock").read_text())
    assert [url for url in urls if not url.startswith("https://files.pythonhosted.org/")] == []


def test_no_committed_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    assert [relative(path) for path, text in committed() if MACHINE_PATH.search(text)] == []
