"""Bringing an environment back from an archive: all of it is verified before any of it counts.

It comes down under another name and is renamed into place, so that a kill at any moment leaves all of it or
nothing. Not here: the steps themselves (`landing`, `charter`, `soundness`, `published`, `merging`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from keystead.ca.authority.model import Authority, Charter
from keystead.ca.authority.publish import PublishedCrl, publish
from keystead.ca.home import Home, read_charter
from keystead.ca.inventory.store import open_inventory
from keystead.ca.layout import INVENTORY, LISTS
from keystead.ca.procedures.charter import charter_of, open_issuers, stems_of
from keystead.ca.procedures.landing import Announce, Source, landed
from keystead.ca.procedures.manifest import BARRED, Manifest
from keystead.ca.procedures.merging import Merged, barred_in, claim_keys, merge, refuse_conflicts
from keystead.ca.procedures.packing import Contents
from keystead.ca.procedures.published import Crl, newest, read_published
from keystead.ca.procedures.soundness import check_inventory
from keystead.ca.reliance import open_for_newcomer
from keystead.machine.clock import Clock, system_clock
from keystead.machine.files import PRIVATE, PUBLIC, move_folder, write_new
from keystead.machine.secrets import Secrets
from keystead.pki.expiry import when
from keystead.pki.revocation import crl_number, crl_to_pem, load_crls


@dataclass(frozen=True, slots=True)
class Published:
    """The last published ``crl.pem``: its octets, and the file's name for errors."""

    data: bytes
    name: str


@dataclass(frozen=True, slots=True)
class Restored:
    """An environment that is back.

    ``keys`` are the CAs that signed a test, ``lists`` the fresh ones, ``barred`` how many keys are barred.
    ``told_more`` says whether the published lists were newer than those in the backup.
    """

    manifest: Manifest
    charter: Charter
    keys: tuple[str, ...]
    merged: Merged
    told_more: bool
    lists: tuple[PublishedCrl, ...]
    barred: int


def restore(
    home: Home,
    source: Source,
    published: Published | None,
    secrets: Secrets,
    *,
    actor: str,
    clock: Clock = system_clock,
    announce: Announce,
) -> Restored:
    """Bring back the environment that ``source`` holds; ``secrets`` open its keys.

    ``announce`` is told of the manifest before the rest is read: what follows takes its time by the size.
    ``published`` is None where the operator says that no list was published since. Raises as `landed` does,
    `BadInput` where something in the archive is not sound, `Distrusted` where ``published`` is not the last
    list of this CA, `Refused` where other environments hold keys of it. No environment is there then; its
    keys may be claimed, and barred, in ``keys.db`` already.
    """
    name = str(source.path)
    with landed(home, source, clock, announce) as down:
        contents, manifest = down.contents, down.contents.manifest
        charter = charter_of(contents, down.part, name)
        archived = load_crls(contents.files[LISTS], f"crl.pem in {name}")
        given = read_published(published.data, published.name, charter) if published else ()
        lists = newest(archived, given, published.name if published else name)
        _write(charter, contents, lists)
        issuers = open_issuers(charter, stems_of(contents), secrets, name)
        check_inventory(charter.folder / INVENTORY, charter, manifest, name)
        with (
            open_for_newcomer(home.path) as claims,
            open_inventory(charter.folder / INVENTORY) as inventory,
        ):
            authority = Authority(charter, inventory, claims, clock, os.urandom, actor)
            refuse_conflicts(authority)
            merged = merge(authority, manifest, (*archived, *lists), told=_told(manifest, given))
            barred_there = barred_in(contents, name)
            fresh = publish(authority, issuers)
            barred = claim_keys(authority, barred_there)  # last, for it concerns all environments
        move_folder(down.part, home.folder(manifest.environment))
    return Restored(
        manifest=manifest,
        charter=read_charter(home, manifest.environment),
        keys=stems_of(contents),
        merged=merged,
        told_more=any(crl not in archived for crl in given),
        lists=fresh,
        barred=barred,
    )


def _write(charter: Charter, contents: Contents, lists: tuple[Crl, ...]) -> None:
    for name, data in contents.files.items():
        if name in (LISTS, BARRED):
            continue
        write_new(charter.folder / name, data, PRIVATE if ".key" in name else PUBLIC)
    write_new(charter.crl_path, crl_to_pem(*lists), PUBLIC)


def _told(manifest: Manifest, given: tuple[Crl, ...]) -> str:
    numbers = " and ".join(str(crl_number(crl)) for crl in given)
    lists = f"with the published lists {numbers}" if given else "WITHOUT the last published list"
    return f"made {when(manifest.made)} with {manifest.audit.entries} entries; {lists}"
