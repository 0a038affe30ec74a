"""Making ``keys.db`` anew of all the inventories of a home, or completing the one that is there.

What only it knew cannot come back so: keys that were barred and never certified here. Not here: opening it
(`reliance`), and the barred keys that an archive knows (`mending`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import func, select

from keystead.ca.audit.entry import KEYS_REBUILT, Entry
from keystead.ca.audit.log import append, recorded_at
from keystead.ca.claims import COMPROMISED, Claims, create_claims, open_claims, read_claims
from keystead.ca.home import Home
from keystead.ca.inventory import reads
from keystead.ca.inventory.schema import carried_revocations
from keystead.ca.inventory.store import Inventory, open_inventory
from keystead.ca.layout import INVENTORY
from keystead.ca.procedures.merging import compromised_in
from keystead.ca.reliance import inhabitants
from keystead.errors import KeysteadError, NotThere
from keystead.machine.clock import Clock, system_clock
from keystead.machine.files import move_file
from keystead.machine.locks import hold
from keystead.machine.oserrors import told
from keystead.pki.revocation import KEY_COMPROMISE

PATIENCE: Final = timedelta(seconds=60)

_SUFFIXES: Final = ("-wal", "-shm", "")
"""What SQLite keeps beside a database; left there, it would be taken for the new one's."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The claims as they are now.

    ``held`` and ``barred`` count keys. ``crossed`` counts those that a second environment has certified too;
    ``unknown`` the keys that are compromised and of certificates that no inventory has. ``aside`` is where
    what could not be read lies.
    """

    environments: tuple[str, ...]
    held: int
    barred: int
    crossed: int
    unknown: int
    aside: Path | None


@dataclass(frozen=True, slots=True)
class _Scribe:
    actor: str
    clock: Clock

    def note(self, inventories: Mapping[str, Inventory], result: str, detail: str) -> None:
        for inventory in inventories.values():
            with inventory.writing() as tx:
                now = recorded_at(tx, self.clock())
                append(tx, [Entry(self.actor, KEYS_REBUILT, now, result, detail=detail)])


def rebuild(home: Home, barred: Iterable[str] = (), *, actor: str, clock: Clock = system_clock) -> Rebuilt:
    """Claim every key that the inventories of ``home`` know, bar the compromised ones and those ``barred``.

    What ``keys.db`` holds already stays. Where it is missing or cannot be read it is made under another name
    and renamed, so that a kill leaves all or none. Begun and done stand in each environment's log. Raises
    what opening an inventory raises: with one of them missing, its keys would be anybody's.
    """
    scribe = _Scribe(actor, clock)
    with hold(home.path / ".init.lock", "making keys.db anew", wait=PATIENCE), ExitStack() as stack:
        inventories = {
            name: stack.enter_context(open_inventory(home.folder(name) / INVENTORY))
            for name in inhabitants(home.path)
        }
        scribe.note(inventories, "begun", "")
        if _can_be_read(home.claims):
            with open_claims(home.claims) as claims:
                rebuilt = _fill(claims, inventories, barred, None)
        else:
            part = home.claims.with_name(f".{home.claims.name}.part")
            _remove(part)
            with create_claims(part) as claims:
                rebuilt = _fill(claims, inventories, barred, _move_aside(home.claims))
            move_file(part, home.claims)
        scribe.note(inventories, "ok", _told(rebuilt))
    return rebuilt


def _can_be_read(path: Path) -> bool:
    try:
        read_claims(path).close()
    except KeysteadError:
        return False
    return True


def _remove(path: Path) -> None:
    with told(path, "remove"):
        for suffix in _SUFFIXES:
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def _move_aside(path: Path) -> Path | None:
    aside = name_aside(path)
    for suffix in _SUFFIXES:
        with suppress(NotThere):
            move_file(path.with_name(path.name + suffix), aside.with_name(aside.name + suffix))
    return aside if aside.exists() else None


def name_aside(path: Path) -> Path:
    """A free name beside ``path`` for what stands there and is broken."""
    number = 1
    while (aside := path.with_name(f"{path.name}.broken.{number}")).exists():
        number += 1
    return aside


def _fill(
    claims: Claims, inventories: Mapping[str, Inventory], barred: Iterable[str], aside: Path | None
) -> Rebuilt:
    held = crossed = unknown = 0
    lost = set(barred)
    for environment, inventory in inventories.items():
        with inventory.reading() as tx:
            for keys in reads.certified_keys(tx):
                holders = claims.claim(keys, environment).values()
                held += len(keys)
                crossed += sum(holder not in (environment, COMPROMISED) for holder in holders)
            lost |= compromised_in(tx)
            unknown += tx.execute(_UNKNOWN).scalar_one()
    claims.mark_compromised(lost)
    return Rebuilt(tuple(inventories), held, len(lost), crossed, unknown, aside)


_UNKNOWN = (
    select(func.count())
    .select_from(carried_revocations)
    .where(carried_revocations.c.reason == KEY_COMPROMISE)
)


def _told(rebuilt: Rebuilt) -> str:
    return (
        f"of {', '.join(rebuilt.environments)}: {rebuilt.held} keys, {rebuilt.barred} barred,"
        f" {rebuilt.crossed} in two environments, {rebuilt.unknown} compromised and not known"
    )
