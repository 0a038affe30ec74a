"""What is wrong with a CA's environment: modes, keys, lists, inventory, audit log, clock.

Imports the CA's wing, and with it the database: `examination` imports this only where there is a home. Not
here: the subscriber's side.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from keystead.ca.audit import log
from keystead.ca.authority.model import Charter
from keystead.ca.home import ISSUING, ROOT, Home, read_charter
from keystead.ca.inventory import reads
from keystead.ca.inventory.store import open_inventory
from keystead.custody.vault import Sealing, sealing_of
from keystead.errors import KeysteadError, NotThere
from keystead.machine.gitignore import is_ignored
from keystead.machine.oserrors import told
from keystead.pki.certificates import common_name, subject_key_id
from keystead.pki.expiry import CLOCK_TOLERANCE, in_words, when
from keystead.pki.revocation import issuer_key, next_update
from keystead.subscriber.folder import read_crls
from keystead.watch.doctor.checks import Check, Seen
from keystead.watch.doctor.holders import ends_soon
from keystead.watch.doctor.mends import here
from keystead.watch.doctor.outcomes import Warned
from keystead.watch.expiry import ROOT_NOTICE

_UNSEALED_ALLOWED: Final = "dev"
_OTHERS: Final = stat.S_IRWXO | stat.S_IWGRP
_CHANGEABLE: Final = stat.S_IWGRP | stat.S_IWOTH
_SECRET: Final = ("root.key", "issuing.key", "root.key.age", "issuing.key.age", "inventory.db")


@dataclass(frozen=True, slots=True)
class Office:
    """One environment of a CA's home, at one moment. ``charter`` is the error where it cannot be read."""

    home: Home
    environment: str
    charter: Charter | KeysteadError
    now: datetime

    @property
    def folder(self) -> Path:
        """Where the environment lies."""
        return self.home.folder(self.environment)

    @property
    def charters(self) -> tuple[Charter, ...]:
        """The charter, where it could be read."""
        return () if isinstance(self.charter, KeysteadError) else (self.charter,)

    def seen(self, path: Path, detail: str = "") -> Seen:
        """This environment in a finding about ``path``."""
        return Seen(path, detail, name=str(self.home.path), environment=self.environment)


def offices(home: Path, now: datetime) -> tuple[Office, ...]:
    """Every environment of the home, one whose ``ca.toml`` is lost included."""
    opened = Home(home)
    with told(home, "read"):
        names = sorted(place.parent.name for place in home.glob("[a-z]*/root.crt"))
    return tuple(
        Office(opened, name, _charter(opened, name), now) for name in sorted({*names, *opened.environments})
    )


def _charter(home: Home, environment: str) -> Charter | KeysteadError:
    try:
        return read_charter(home, environment)
    except KeysteadError as error:
        return error


def _changeable(office: Office) -> Iterator[Seen]:
    for path in (office.home.path, office.folder, office.folder / "ca.toml", office.folder / "crl.pem"):
        if path.exists() and (mode := stat.S_IMODE(path.stat().st_mode)) & _CHANGEABLE:
            yield office.seen(path, f"{mode:04o}")


def _unreadable(office: Office) -> Iterator[Seen]:
    if isinstance(office.charter, KeysteadError) and office.charter.code != "not-private":
        told_of = office.charter
        yield office.seen(office.folder, f"{told_of.what}{': ' if told_of.why else ''}{told_of.why}")


def _open_secrets(office: Office) -> Iterator[Seen]:
    for path in (*(office.folder / name for name in _SECRET), office.home.claims):
        if path.exists() and (mode := stat.S_IMODE(path.stat().st_mode)) & _OTHERS:
            yield office.seen(path, f"{mode:04o}")


def _missing_keys(office: Office) -> Iterator[Seen]:
    for stem in (ROOT, ISSUING):
        try:
            sealing_of(office.folder, stem)
        except NotThere:
            yield office.seen(office.folder / f"{stem}.key.age")


def _copies_beside(office: Office) -> Iterator[Seen]:
    for stem in (ROOT, ISSUING):
        plain = office.folder / f"{stem}.key"
        if plain.exists() and plain.with_name(f"{stem}.key.age").exists():
            yield office.seen(plain)


def _unsealed(office: Office) -> Iterator[Seen]:
    if office.environment == _UNSEALED_ALLOWED:
        return
    for stem in (ROOT, ISSUING):
        plain = office.folder / f"{stem}.key"
        if plain.exists() and not plain.with_name(f"{stem}.key.age").exists():
            yield office.seen(plain)


def _git_takes(office: Office) -> Iterator[Seen]:
    for stem in (ROOT, ISSUING):
        if _sealing(office, stem) is Sealing.NONE and not is_ignored(office.folder / f"{stem}.key"):
            yield office.seen(office.folder / f"{stem}.key")
            return


def _sealing(office: Office, stem: str) -> Sealing | None:
    try:
        return sealing_of(office.folder, stem)
    except KeysteadError:
        return None


def _no_inventory(office: Office) -> Iterator[Seen]:
    if not (office.folder / "inventory.db").exists():
        yield office.seen(office.folder / "inventory.db")


def _no_claims(office: Office) -> Iterator[Seen]:
    if not office.home.claims.exists():
        yield office.seen(office.home.claims)


def _tampered(office: Office) -> Iterator[Seen]:
    path = office.folder / "inventory.db"
    if not path.exists():
        return
    with closing(open_inventory(path)) as inventory, inventory.reading() as tx:
        try:
            log.verify(tx)
        except log.Tampered as error:
            yield office.seen(path, error.what)


def _clock_behind(office: Office) -> Iterator[Seen]:
    path = office.folder / "inventory.db"
    if not path.exists():
        return
    with closing(open_inventory(path)) as inventory, inventory.reading() as tx:
        newest = log.newest(tx)
    if newest is not None and office.now < newest - CLOCK_TOLERANCE:
        yield office.seen(path, f"it says {when(office.now)}, and the newest entry is of {when(newest)}")


def _no_lists(office: Office) -> Iterator[Seen]:
    if not (path := office.folder / "crl.pem").exists():
        yield office.seen(path, "who is revoked cannot be told to anybody")
        return
    listed = {issuer_key(crl) for crl in read_crls(path) or ()}
    for charter in office.charters:
        for ca in (charter.issuing, charter.root):
            if subject_key_id(ca) not in listed:
                yield office.seen(path, f"the list of {common_name(ca)!r} is not in it")


def _behind(office: Office) -> Iterator[Seen]:
    path = office.folder / "crl.pem"
    if not path.exists() or not (office.folder / "inventory.db").exists():
        return
    lists = read_crls(path) or ()
    with closing(open_inventory(office.folder / "inventory.db")) as inventory, inventory.reading() as tx:
        for charter in office.charters:
            own = subject_key_id(charter.issuing)
            listed = {entry.serial_number for crl in lists if issuer_key(crl) == own for entry in crl}
            recorded = {int(entry.serial, 16) for entry in reads.revoked_under(tx, charter.issuing_serial)}
            if missing := recorded - listed:
                yield office.seen(path, f"{len(missing)} of {len(recorded)} are not on it")


def _stale(office: Office) -> Iterator[Seen]:
    path = office.folder / "crl.pem"
    for crl in read_crls(path) or ():
        if (due := next_update(crl)) <= office.now:
            yield office.seen(path, f"that of {crl.issuer.rfc4514_string()} was due on {when(due)}")


def _stale_soon(office: Office) -> Iterator[Seen]:
    path = office.folder / "crl.pem"
    for crl in read_crls(path) or ():
        due = next_update(crl)
        if ends_soon(crl.last_update_utc, due, office.now):
            left = in_words(due - office.now)
            yield office.seen(path, f"that of {crl.issuer.rfc4514_string()} is due in {left}")


def _ending(office: Office) -> Iterator[Seen]:
    for charter in office.charters:
        for ca, file in ((charter.issuing, "issuing.crt"), (charter.root, "root.crt")):
            if ca.not_valid_after_utc <= office.now + ROOT_NOTICE:
                yield office.seen(office.folder / file, when(ca.not_valid_after_utc))


_FRESH = here("keystead ca crl{env} --home {name}")
_RESTORE = here("cp -p BACKUP/{file} {path}")
"""From the copy that `ca init` told its operator to make."""

CHECKS: Final = (
    Check(
        "ca-home-open",
        "who can change the CA's files",
        _changeable,
        what="other accounts of this machine can change {path}",
        why="its mode is {detail}; the CA does not work with such files",
        mend=here("chmod go-w {path}"),
    ),
    Check(
        "ca-unreadable",
        "ca.toml, root.crt and issuing.crt",
        _unreadable,
        what="the CA in {path} cannot be opened",
        why="{detail}",
        mend=here("cp -p BACKUP/ca.toml BACKUP/root.crt BACKUP/issuing.crt {path}/"),
    ),
    Check(
        "ca-secret-open",
        "the modes of the CA's keys and databases",
        _open_secrets,
        what="other accounts of this machine can get at {path}",
        why="its mode is {detail}",
        mend=here("chmod 600 {path}"),
    ),
    Check(
        "ca-key-missing",
        "the CA's keys",
        _missing_keys,
        what="there is no {path}",
        why="without its key the CA can sign neither certificates nor lists",
        mend=_RESTORE,
    ),
    Check(
        "ca-key-beside-its-seal",
        "unsealed copies of sealed keys",
        _copies_beside,
        what="{path} lies unsealed beside its sealed file",
        why="whoever reads it is this CA; the sealed one is enough",
        mend=here("shred -u {path}"),
    ),
    Check(
        "ca-key-unsealed",
        "the sealing of the CA's keys",
        _unsealed,
        what="{path} is not sealed",
        why="only in dev may a CA's key lie unsealed: whoever reads this file is the CA",
        mend=here("age -p -o {path}.age {path} && chmod 600 {path}.age && shred -u {path}"),
    ),
    Check(
        "ca-key-in-git",
        ".gitignore in the CA's folder",
        _git_takes,
        what="git would take {path}",
        why="no .gitignore keeps it out, and a key that was committed counts as stolen",
        mend=here("printf '%s\\n' '*' >> {folder}/.gitignore"),
    ),
    Check(
        "ca-inventory-missing",
        "the inventory",
        _no_inventory,
        what="there is no {path}",
        why="it says what was issued and revoked; without it nothing can be signed or revoked",
        mend=_RESTORE,
    ),
    Check(
        "ca-claims-missing",
        "keys.db",
        _no_claims,
        what="there is no {path}",
        why="it says which environment each key belongs to, and which are compromised: those would be signed",
        mend=_RESTORE,
    ),
    Check(
        "ca-audit-tampered",
        "the audit log",
        _tampered,
        what="the audit log in {path} is not what was once written",
        why="{detail}: treat this machine as broken into until it is known why",
        mend=_RESTORE,
    ),
    Check(
        "ca-clock-behind",
        "the clock, by the newest audit entry",
        _clock_behind,
        what="this machine's clock went back",
        why="{detail}: nothing is signed until it is right",
        mend=here("timedatectl set-ntp true"),
    ),
    Check(
        "ca-crl-missing",
        "crl.pem, with both lists",
        _no_lists,
        what="{path} is not complete",
        why="{detail}",
        mend=_FRESH,
    ),
    Check(
        "ca-crl-behind",
        "crl.pem, by the inventory",
        _behind,
        what="{path} does not show all that is revoked",
        why="{detail}: they are still let in everywhere",
        mend=_FRESH,
    ),
    Check(
        "ca-crl-stale",
        "the lists' ends",
        _stale,
        what="{path} is out of date",
        why="{detail}",
        mend=_FRESH,
    ),
    Check(
        "ca-crl-stale-soon",
        "lists that end soon",
        _stale_soon,
        what="{path} is soon out of date",
        why="{detail}",
        mend=_FRESH,
        weight=Warned,
    ),
    Check(
        "ca-ends-soon",
        "the ends of issuing CA and root",
        _ending,
        what="{path} ends soon",
        why="it ends on {detail}; no certificate outlives it, and the next takes the root key",
        mend=here("keystead ca list{env} --home {name}"),
        weight=Warned,
    ),
)
"""The table."""
