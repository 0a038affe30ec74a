"""The commands that are killed and put into bad surroundings: what is there before each, what is typed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keystead.cli.ca.sign import MANY
from tests.crashes.making import take_back_to_the_first_schema, write_csrs
from tests.e2e.conftest import Machine

INIT = "ca", "init", "--no-passphrase", "--home", "home"
CSR = "csr", "alice", "--dir", "alice"
RENEW = *CSR, "--renew"


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


def age(machine: Machine) -> None:
    """A step: the inventory becomes one of the first schema."""
    take_back_to_the_first_schema(machine.folder / "home" / "dev" / "inventory.db")


@dataclass(frozen=True)
class Work:
    """A command, and the steps that lead up to it on a machine with a CA in ``home``."""

    words: tuple[str, ...]
    steps: tuple[Step, ...] = ()


FEW = tuple(f"n{number}" for number in range(3))
MANY_NAMES = tuple(f"n{number}" for number in range(MANY))

FOUNDED = (run(*INIT),)
REQUESTED = (*FOUNDED, run(*CSR), run(*sign("alice", "--out", "first")))
INSTALLED = (*REQUESTED, run(*install("first/alice.pem")))
RENEWING = (*INSTALLED, run(*RENEW))
RENEWED = (*RENEWING, run(*sign("alice", "--out", "second")))

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
        (*RENEWED, csrs("inbox", *MANY_NAMES), run(*sign("inbox")), run(*revoke("n7", "superseded")), age),
    ),
    "csr": Work(CSR),
    "csr for a renewal": Work(RENEW, INSTALLED),
    "install": Work(install("first/alice.pem"), REQUESTED),
    "install a renewal": Work(install("second/alice.pem"), RENEWED),
}
