"""The doctor's practice: two machines that are folders, and a nurse who types what doctor says."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from keystead.cli.commands import cli
from keystead.errors import KeysteadError
from keystead.watch.doctor.outcomes import Step

Ours = Callable[[Step], None]


@dataclass(frozen=True)
class Finding:
    """One entry of ``keystead doctor --json``."""

    code: str
    weight: str
    text: str
    mend: tuple[Step, ...]


@dataclass(frozen=True)
class Practice:
    """``here`` is the subscriber's machine with its ``certs``, ``office`` the CA's with its ``home``."""

    here: Path
    office: Path
    patch: pytest.MonkeyPatch

    @classmethod
    def at(cls, place: Path, patch: pytest.MonkeyPatch) -> Practice:
        practice = cls(place / "here", place / "office", patch)
        for folder in (practice.here, practice.office):
            folder.mkdir(parents=True, exist_ok=True)
        patch.setenv("HOME", str(place / "nobody"))
        patch.setenv("KEYSTEAD_HOME", str(practice.home))
        patch.delenv("KEYSTEAD_ENV", raising=False)
        patch.delenv("KEYSTEAD_SERVER", raising=False)
        return practice

    @property
    def home(self) -> Path:
        return self.office / "home"

    @property
    def certs(self) -> Path:
        return self.here / "certs"

    def found(self) -> None:
        """A CA, and a client who is certified by it."""
        self.type_in(self.office, "keystead ca init --org example --no-passphrase")
        self.subscribe("alice")

    def subscribe(self, name: str, profile: str = "client", options: str = "", lifetime: str = "") -> None:
        """One more key and certificate in ``certs``."""
        self.type_in(self.here, f"keystead csr {name} --profile {profile} {options} --dir certs")
        self.certify(name, f"--profile {profile} {lifetime}")
        self.type_in(self.here, f"keystead install {name}.pem --dir certs")

    def certify(self, name: str, options: str = "") -> None:
        """Carry the CSR to the CA, and what it gives back."""
        self.carry_to_office()
        self.type_in(self.office, f"keystead ca sign {name}.csr {options}")
        self.carry_from_office()

    def run(self, where: Path, command: str) -> str:
        """A ``keystead`` command, in this process."""
        self.patch.chdir(where)
        words = shlex.split(command)[1:]
        result = CliRunner().invoke(cli, words, standalone_mode=False)
        if isinstance(result.exception, KeysteadError):
            raise AssertionError(f"{command}\n{result.exception}")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    def type_in(self, where: Path, line: str) -> str:
        """What somebody types: one line of the shell; ``keystead`` runs in this process."""
        output = ""
        for part in line.split(" && "):
            if part.startswith("keystead "):
                output += self.run(where, part)
            else:
                subprocess.run(
                    ["bash", "-c", part],
                    cwd=where,
                    check=True,
                    input="secret\n",
                    text=True,
                    start_new_session=True,
                    env=os.environ,
                )
        return output

    def carry_to_office(self) -> None:
        for file in self.certs.glob("*.csr"):
            shutil.copy(file, self.office)

    def carry_from_office(self) -> None:
        for file in self.office.glob("*.pem"):
            shutil.copy(file, self.here)

    def examine(self, *words: str, home: str = "none") -> tuple[Finding, ...]:
        """What ``keystead doctor`` finds; its exit code must say the same."""
        self.patch.chdir(self.here)
        environment = {"KEYSTEAD_HOME": home}  # as an option it would have to be there
        arguments = ["doctor", *words, "--json"]
        result = CliRunner(env=environment).invoke(cli, arguments, standalone_mode=False)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        findings = tuple(
            Finding(
                entry["code"],
                entry["weight"],
                f"{entry['what']}\n{entry['why']}",
                tuple(Step(step["where"], step["command"]) for step in entry["mend"]),
            )
            for entry in json.loads(result.stdout)["findings"]
        )
        has_problem = any(finding.weight == "problem" for finding in findings)
        code = result.return_value if result.exit_code == 0 and result.return_value else result.exit_code
        assert code == int(has_problem)
        return findings

    def heal(self, finding: Finding, play: Callable[[Step], bool] = lambda _step: False) -> None:
        """Type each step where it belongs; ``play`` does what a person does, and says whether it did."""
        assert finding.mend
        fingerprint = ""
        for step in finding.mend:
            if play(step):
                continue
            if step.where.startswith("on the CA's machine"):
                self.carry_to_office()
                told = self.type_in(self.office, step.command)
                fingerprint = next(iter(re.findall(r"(?:[0-9a-f]{4}:){7}[0-9a-f]{4}", told)), "")
                self.carry_from_office()
            else:
                self.type_in(self.here, step.command.replace("FINGERPRINT", fingerprint))

    def healed(
        self, code: str, *, home: str = "none", play: Callable[[Step], bool] = lambda _step: False
    ) -> Finding:
        """Doctor names ``code`` alone, what it says is typed, and doctor is silent."""
        findings = self.examine(home=home)
        assert codes(findings) == [code], findings
        self.heal(findings[0], play)
        assert self.examine(home=home) == ()
        return findings[0]


def codes(findings: Iterable[Finding]) -> list[str]:
    return [finding.code for finding in findings]
