"""Mends that bring something of a CA back from its backup, which the operator names in the place of BACKUP.

Not here: mends that need no backup (`mends`).
"""

from __future__ import annotations

import shlex

from keystead.watch.doctor.checks import Seen
from keystead.watch.doctor.mends import here
from keystead.watch.doctor.outcomes import HERE, Step

FOUNDATIONS = here(
    "keystead ca restore BACKUP --only ca.toml --only root.crt --only issuing.crt{env} --home {name}"
)
"""What says which CA it is."""

CLAIMS = here("keystead ca restore BACKUP --only {file}{env} --home {name}")
"""``keys.db``, made anew from the inventory that is there and what the backup knows to be barred."""


def key_back(seen: Seen) -> tuple[Step, ...]:
    """The key alone, sealed where it was: the inventory that is there knows more than the backup's."""
    stem = seen.path.name.removesuffix(".age")
    return here(f"keystead ca restore BACKUP --only {stem}{{env}} --home {{name}}")(seen)


def restored(seen: Seen) -> tuple[Step, ...]:
    """All of it, with the list that lies there; what is broken is put aside, to be looked at."""
    aside = f"{seen.name}/.{seen.environment}.broken"
    move = seen.fill_command("mv -T --backup=numbered {folder} ") + shlex.quote(aside)
    restore = f"keystead ca restore BACKUP --crl {shlex.quote(f'{aside}/crl.pem')}"
    return (Step(HERE, f"{move} && {restore}" + seen.fill_command("{env} --home {name}")),)
