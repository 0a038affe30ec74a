"""What a record says of the machine and of the programs that raced, and which programs are missing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.backends.openssl import backend

import keystead

OPENSSL_HEADERS = "the headers of OpenSSL"
"""The one need that is no program; whoever names it names gcc too."""

_PACKAGES = {
    "nginx": "nginx-light",
    "sync": "coreutils",
    "sha256sum": "coreutils",
    OPENSSL_HEADERS: "libssl-dev",
}


def missing(needs: Iterable[str]) -> tuple[str, ...]:
    """Those of ``needs`` that this machine lacks, each with the Debian package that brings it."""
    return tuple(f"{need} ({_PACKAGES.get(need, need)})" for need in needs if not _is_here(need))


def _is_here(need: str) -> bool:
    if need != OPENSSL_HEADERS:
        return shutil.which(need) is not None
    include = ("-E", "-include", "openssl/ssl.h", "-x", "c", os.devnull)
    return shutil.which("gcc") is not None and _output("gcc", *include) != ""


def record_head(now: datetime) -> str:
    """The head of a record, as Markdown: date, machine, versions."""
    lines = [
        f"## {now.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in _facts().items()),
    ]
    return "\n".join([*lines, ""])


def _facts() -> dict[str, str]:
    return {
        "machine": f"{os.cpu_count()} cores, {_processor()}, {_memory()} GiB of memory, {_system()}",
        "load when it began": f"{os.getloadavg()[0]:.1f} (average of the minute before)",
        "keystead": f"{keystead.__version__}, commit {_commit()}",
        "Python": f"{platform.python_version()}; cryptography with {backend.openssl_version_text()}",
        "the system's OpenSSL": _first_line("openssl", "version"),
        "nginx": _first_line("nginx", "-v").removeprefix("nginx version: "),
        "curl": _first_line("curl", "--version"),
    }


def _processor() -> str:
    return _after_colon("/proc/cpuinfo", "model name")


def _memory() -> int:
    return round(int(_after_colon("/proc/meminfo", "MemTotal").split()[0]) / 1024**2)


def _after_colon(path: str, name: str) -> str:
    lines = Path(path).read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "0 (unknown)")


def _system() -> str:
    return f"{platform.freedesktop_os_release().get('PRETTY_NAME', 'Linux')}, kernel {platform.release()}"


def _commit() -> str:
    commit = _output("git", "rev-parse", "--short", "HEAD").strip() or "unknown"
    changed = _output("git", "status", "--porcelain", "--untracked-files=no", "src").strip()
    return f"{commit}, with changes that are not committed" if changed else commit


def _first_line(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return "not there"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()[0]


def _output(*command: str) -> str:
    """The standard output of a program; empty where it fails or is missing."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
