"""The commands that are killed and put into bad surroundings: what is there before each, what is typed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import pyrage

from keystead.cli.ca.sign import MANY
from keystead.machine.files import write_new
from tests.crashes.making import take_back_to_the_first_schema, write_csrs
from tests.e2e.conftest import Machine

INIT = "ca", "init", "--no-passphrase", "--home", "home"
CSR = "csr", "alice", "--dir", "alice"
RENEW = *CSR, "--renew"

BACKUP = "ca", "backup", "--recipient", "recipient", "--out", "dev.backup", "--home", "home"
VERIFY = "ca", "backup", "--verify", "dev.backup", "--identity", "identity", "--home", "home"
RESTORE = "ca", "restore", "dev.backup", "--identity", "identity", "--crl", "published.pem", "--home", "home"


def sign(folder: str, *more: str) -> tuple[str, ...]:
    return "ca", "sign", folder, "--home", "home", *more


def revoke(name: str, reason: str) -> tuple[str, ...]:
    return "ca", "revoke", name, "--reason", reason, "--home", "home"


def install(path: str) -> tuple[str, ...]:
    return "install", path, "--dir", "alice"


Step = Callable[[Machine], object]


def run(*words: str) -> Step:
    """A step that runs a command."""
    return lambda machine: machine.ok(*words)


def csrs(folder: str, *names: str) -> Step:
    """A step that makes CSRs."""
    return lambda machine: write_csrs(machine.folder / folder, names)


def forget(folder: str) -> Step:
    """A step that removes a folder."""
    return lambda machine: shutil.rmtree(machine.folder / folder)


def take_back(machine: Machine) -> None:
    """A step: the inventory becomes one of the first schema."""
    take_back_to_the_first_schema(machine.folder / "home" / "dev" / "inventory.db")


def make_identity(machine: Machine) -> None:
    """A step: an age identity, and what archives are sealed to for it."""
    identity = pyrage.x25519.Identity.generate()
    for name, text in (("identity", str(identity)), ("recipient", str(identity.to_public()))):
        write_new(machine.folder / name, f"{text}\n".encode())


def lose(machine: Machine) -> None:
    """A step: the CA's home is gone, but for the list that its servers have."""
    shutil.copy(machine.folder / "home/dev/crl.pem", machine.folder / "published.pem")
    shutil.rmtree(machine.folder / "home")


@dataclass(frozen=True)
class Work:
    """A command, and the steps that lead up to it on a machine with a CA in ``home``."""

    words: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    is_refused_twice: bool = False

    def complete(self, machine: Machine) -> None:
        """Run the command after a run that was cut short; refused is right where it had done all."""
        ran = machine.run(*self.words)
        assert ran.code == 0 or (self.is_refused_twice and DONE_BEFORE.search(ran.err)), ran.text


DONE_BEFORE = re.compile(r"already there|there already|never overwritten")

FEW = tuple(f"n{number}" for number in range(3))
MANY_NAMES = tuple(f"n{number}" for number in range(MANY))

FOUNDED = (run(*INIT),)
REQUESTED = (*FOUNDED, run(*CSR), run(*sign("alice", "--out", "first")))
INSTALLED = (*REQUESTED, run(*install("first/alice.pem")))
RENEWING = (*INSTALLED, run(*RENEW))
RENEWED = (*RENEWING, run(*sign("alice", "--out", "second")))
CERTIFIED = (
    *INSTALLED,
    run("csr", "server", "--profile", "server", "--dir", "server"),
    run(*sign("server", "--profile", "server", "--out", "first")),
    run("install", "first/server.pem", "--dir", "server"),
)
RENEWED_TO_BE_KEPT = (*RENEWED, make_identity)

WORKS = {
    "init": Work(INIT),
    "sign a few": Work(sign("inbox"), (*FOUNDED, csrs("inbox", *FEW))),
    "sign many": Work(sign("inbox"), (*FOUNDED, csrs("inbox", *MANY_NAMES))),
    "sign a renewal": Work(sign("alice", "--out", "second"), RENEWING),
    "sign and replace": Work(
        sign("new", "--replace"),
        (*FOUNDED, csrs("old", "alice"), run(*sign("old")), csrs("new", "alice")),
    ),
    "revoke": Work(revoke("alice", "superseded"), REQUESTED),
    "revoke a lost key": Work(revoke("alice", "keyCompromise"), RENEWED),
    "publish": Work(("ca", "crl", "--home", "home", "--out", "copy.pem"), FOUNDED),
    "migrate": Work(
        ("ca", "list", "--home", "home"),
        (
            *(*RENEWED, csrs("inbox", *MANY_NAMES), run(*sign("inbox")), forget("inbox")),
            *(run(*revoke("n7", "superseded")), take_back),
        ),
    ),
    "back up": Work(BACKUP, RENEWED_TO_BE_KEPT, is_refused_twice=True),
    "restore": Work(
        RESTORE,
        (
            *(*RENEWED_TO_BE_KEPT, run(*BACKUP), run(*revoke("alice", "superseded"))),
            *(csrs("late", "late"), run(*sign("late")), run(*revoke("late", "superseded"))),
            *(forget("late"), lose),
        ),
        is_refused_twice=True,
    ),
    "csr": Work(CSR, is_refused_twice=True),
    "csr for a renewal": Work(RENEW, INSTALLED),
    "install": Work(install("first/alice.pem"), REQUESTED),
    "install a renewal": Work(install("second/alice.pem"), RENEWED),
}

SCENES = {name: work.steps for name, work in WORKS.items()} | {"founded": FOUNDED, "certified": CERTIFIED}
"""What leads up to each work; and to a CA, and to a server and a client that have their certificates."""
