"""What is wrong with a CA's environment: modes, keys, lists, inventory, audit log, clock.

Imported only where there is a home, for it brings the database. Not here: reading all that (`office`).
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from keystead.ca.audit.log import Tampered
from keystead.ca.home import ISSUING, ROOT
from keystead.ca.layout import CONFIGURATION, INVENTORY, ISSUING_CERTIFICATE, LISTS, ROOT_CERTIFICATE
from keystead.custody.vault import sealing_of
from keystead.errors import KeysteadError, NotThere
from keystead.machine.gitignore import is_ignored
from keystead.pki.certificates import common_name, subject_key_id
from keystead.pki.expiry import CLOCK_TOLERANCE, in_words, when
from keystead.pki.revocation import issuer_key, next_update
from keystead.watch.doctor import recoveries
from keystead.watch.doctor.checks import Check, Seen
from keystead.watch.doctor.holders import ends_soon
from keystead.watch.doctor.mends import here
from keystead.watch.doctor.office import Office
from keystead.watch.doctor.outcomes import Warned
from keystead.watch.expiry import ROOT_NOTICE

_UNSEALED_ALLOWED: Final = "dev"
_OTHERS: Final = stat.S_IRWXO | stat.S_IWGRP
_CHANGEABLE: Final = stat.S_IWGRP | stat.S_IWOTH
BACKUP_NOTICE: Final = timedelta(days=7)
"""How long certificates may be in no backup until it is spoken of."""

_SECRET: Final = ("root.key", "issuing.key", "root.key.age", "issuing.key.age", INVENTORY)


def _changeable(office: Office) -> Iterator[Seen]:
    for path in (office.home.path, office.folder, office.folder / CONFIGURATION, office.folder / LISTS):
        if path.exists() and (mode := stat.S_IMODE(path.stat().st_mode)) & _CHANGEABLE:
            yield office.seen_at(path, f"{mode:04o}")


def _unreadable(office: Office) -> Iterator[Seen]:
    if isinstance(office.charter, KeysteadError) and office.charter.code != "not-private":
        yield office.seen_at(
            office.folder, ": ".join(filter(None, (office.charter.what, office.charter.why)))
        )


def _open_secrets(office: Office) -> Iterator[Seen]:
    for path in (*(office.folder / name for name in _SECRET), office.home.claims):
        if path.exists() and (mode := stat.S_IMODE(path.stat().st_mode)) & _OTHERS:
            yield office.seen_at(path, f"{mode:04o}")


def _missing_keys(office: Office) -> Iterator[Seen]:
    for stem in (ROOT, ISSUING):
        try:
            sealing_of(office.folder, stem)
        except NotThere:
            yield office.seen(f"{stem}.key" if office.environment == _UNSEALED_ALLOWED else f"{stem}.key.age")


def _copies_beside(office: Office) -> Iterator[Seen]:
    yield from (office.seen(name) for name, is_sealed in _plain_keys(office) if is_sealed)


def _unsealed(office: Office) -> Iterator[Seen]:
    if office.environment != _UNSEALED_ALLOWED:
        yield from (office.seen(name) for name, is_sealed in _plain_keys(office) if not is_sealed)


def _plain_keys(office: Office) -> Iterator[tuple[str, bool]]:
    """The unsealed keys, and whether each lies there sealed as well."""
    for stem in (ROOT, ISSUING):
        if (office.folder / f"{stem}.key").exists():
            yield f"{stem}.key", (office.folder / f"{stem}.key.age").exists()


def _git_takes(office: Office) -> Iterator[Seen]:
    plain = (name for name, _ in _plain_keys(office))
    exposed = (name for name in plain if not is_ignored(office.folder / name))
    for name in exposed:
        yield office.seen(name)
        return


def _no_inventory(office: Office) -> Iterator[Seen]:
    if isinstance(office.records, KeysteadError):
        yield office.seen(INVENTORY, office.records.why or office.records.what)


def _no_claims(office: Office) -> Iterator[Seen]:
    unclaimed = office.unclaimed
    if isinstance(unclaimed, KeysteadError):
        yield office.seen_at(office.home.claims, unclaimed.why or unclaimed.what)
    elif unclaimed:
        yield office.seen_at(office.home.claims, f"{unclaimed} keys of {office.environment} are missing")


def _tampered(office: Office) -> Iterator[Seen]:
    for records in office.books:
        if isinstance(records.audit, Tampered):
            yield office.seen(INVENTORY, records.audit.what)


def _clock_behind(office: Office) -> Iterator[Seen]:
    for records in office.books:
        newest = None if isinstance(records.audit, Tampered) else records.audit.newest
        if newest is not None and office.now < newest - CLOCK_TOLERANCE:
            said = f"it says {when(office.now)}, and the newest entry is of {when(newest)}"
            yield office.seen(INVENTORY, said)


def _no_lists(office: Office) -> Iterator[Seen]:
    if isinstance(office.crls, KeysteadError):
        yield office.seen(LISTS, office.crls.why)
        return
    listed = {issuer_key(crl) for crl in office.crls}
    for charter in office.charters:
        for ca in (charter.issuing, charter.root):
            if subject_key_id(ca) not in listed:
                yield office.seen(LISTS, f"the list of {common_name(ca)!r} is not in it")


def _behind(office: Office) -> Iterator[Seen]:
    for charter in office.charters:
        own = [crl for crl in office.lists if issuer_key(crl) == subject_key_id(charter.issuing)]
        listed = {entry.serial_number for crl in own for entry in crl}
        for records in office.books:
            if own and (missing := records.revoked - listed):
                yield office.seen(LISTS, f"{len(missing)} of {len(records.revoked)} are not on it")


def _stale(office: Office) -> Iterator[Seen]:
    for crl in office.lists:
        if (due := next_update(crl)) <= office.now:
            yield office.seen(LISTS, f"that of {crl.issuer.rfc4514_string()} was due on {when(due)}")


def _stale_soon(office: Office) -> Iterator[Seen]:
    for crl in office.lists:
        due = next_update(crl)
        if ends_soon(crl.last_update_utc, due, office.now):
            left = in_words(due - office.now)
            yield office.seen(LISTS, f"that of {crl.issuer.rfc4514_string()} is due in {left}")


def _ending(office: Office) -> Iterator[Seen]:
    for charter in office.charters:
        for ca, file in ((charter.issuing, ISSUING_CERTIFICATE), (charter.root, ROOT_CERTIFICATE)):
            if ca.not_valid_after_utc <= office.now + ROOT_NOTICE:
                yield office.seen(file, when(ca.not_valid_after_utc))


def _not_backed_up(office: Office) -> Iterator[Seen]:
    for backup in office.backups:
        if backup.taken is None and backup.is_behind:
            yield office.seen(INVENTORY, "no backup of it was ever taken")
        elif backup.taken is not None and backup.is_behind and office.now - backup.taken > BACKUP_NOTICE:
            age = in_words(office.now - backup.taken)
            yield office.seen(
                INVENTORY, f"the last backup is {age} old, and {backup.issued} were issued since"
            )


_FRESH = here("keystead ca crl{env} --home {name}")

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
        mend=recoveries.FOUNDATIONS,
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
        mend=recoveries.key_back,
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
        what="{path} cannot be opened",
        why="{detail}; it says what was issued and revoked: without it nothing can be signed or revoked",
        mend=recoveries.restored,
    ),
    Check(
        "ca-claims-missing",
        "keys.db",
        _no_claims,
        what="{path} does not hold the keys that it should",
        why="{detail}; it says whose each key is, and which are compromised: nothing is signed without it."
        " Who has no backup makes it of what was issued: keystead ca audit --rebuild-keys",
        mend=recoveries.CLAIMS,
    ),
    Check(
        "ca-audit-tampered",
        "the audit log",
        _tampered,
        what="the audit log in {path} is not what was once written",
        why="{detail}: treat this machine as broken into until it is known why",
        mend=recoveries.restored,
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
        what="{path} does not hold both lists",
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
    Check(
        "ca-backup-old",
        "the age of the last backup",
        _not_backed_up,
        what="with this machine, what {path} knows would be lost",
        why="{detail}",
        mend=here("keystead ca backup{env} --home {name}"),
        weight=Warned,
    ),
)
"""The table."""
