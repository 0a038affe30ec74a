"""The mends that several checks share: what is typed, here and on the other machine.

Not here: which finding has which mend (the tables).
"""

from __future__ import annotations

import shlex

from keystead.subscriber.anew import making_anew
from keystead.subscriber.layout import Files
from keystead.subscriber.roles import Role
from keystead.watch.doctor.checks import Mend, Seen
from keystead.watch.doctor.outcomes import HERE, Step

AT_CA = "on the CA's machine"
AT_SERVER = "on the server's machine"


def here(*commands: str) -> Mend:
    """Commands to be typed here, with `Seen`'s placeholders."""
    return _at(HERE, commands)


def at_ca(*commands: str) -> Mend:
    """Commands to be typed on the CA's machine."""
    return _at(AT_CA, commands)


def at_server(*commands: str) -> Mend:
    """Commands to be typed on the server's machine."""
    return _at(AT_SERVER, commands)


def _at(where: str, commands: tuple[str, ...]) -> Mend:
    def mend(seen: Seen) -> tuple[Step, ...]:
        return tuple(Step(where, seen.fill_command(command)) for command in commands)

    return mend


def signed_again(seen: Seen) -> tuple[Step, ...]:
    """The CA gives the certificate of the same CSR again; a new key where there is no such CSR."""
    if not seen.has_csr:
        return anew(seen)
    return (_signing(seen), _install(seen))


def anew(seen: Seen) -> tuple[Step, ...]:
    """A new key in the place of the old, which is put aside."""
    role = Role.SERVER if seen.profile == "server" else Role.CLIENT
    return (
        Step(HERE, making_anew(Files(seen.folder, seen.name), role, seen.hosts)),
        _signing(seen, " --replace"),
        _install(seen),
    )


def renewed(seen: Seen) -> tuple[Step, ...]:
    """A renewal, proved by the key in use."""
    step = Step(HERE, f"keystead csr {seen.name} --renew --dir {_quoted(seen.folder)}")
    return (step, _signing(seen), _install(seen))


def covering(seen: Seen) -> tuple[Step, ...]:
    """A renewal that covers more hosts, which takes the CA's word."""
    sans = "".join(f" --san {shlex.quote(host)}" for host in seen.hosts)
    step = Step(HERE, f"keystead csr {seen.name} --renew{sans} --dir {_quoted(seen.folder)}")
    return (step, _signing(seen, sans), _install(seen))


def other_root(seen: Seen) -> tuple[Step, ...]:
    """The certificate again, with the root that belongs to it, by the fingerprint that the CA prints."""
    install = f"keystead install {seen.name}.pem --fingerprint FINGERPRINT --dir {_quoted(seen.folder)}"
    return (
        _signing(seen),
        Step(f"{HERE}, with the root's fingerprint as the CA's first line has it", install),
    )


def another_root(seen: Seen) -> tuple[Step, ...]:
    """`other_root`, where what is there is no root at all."""
    return (*here("rm {path}")(seen), *other_root(seen))


def fresh_lists(seen: Seen) -> tuple[Step, ...]:
    """Both lists from the CA, put where they belong."""
    return (
        Step(AT_CA, seen.fill_command("keystead ca crl --out crl.pem{env}")),
        Step(f"{HERE}, with its crl.pem", seen.fill_command("install -m 644 crl.pem {path}")),
    )


def _signing(seen: Seen, options: str = "") -> Step:
    profile = f" --profile {seen.profile}" if seen.profile not in ("", "client") else ""
    environment = f" --env {seen.environment}" if seen.environment else ""
    where = f"{AT_CA}, with {seen.folder / f'{seen.name}.csr'}"
    return Step(where, f"keystead ca sign {seen.name}.csr{profile}{options}{environment}")


def _install(seen: Seen) -> Step:
    command = f"keystead install {seen.name}.pem --dir {_quoted(seen.folder)}"
    return Step(f"{HERE}, with the CA's {seen.name}.pem", command)


def _quoted(path: object) -> str:
    return shlex.quote(str(path))
