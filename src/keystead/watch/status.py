"""The state of this machine's certificates and lists: what ends first, what is due, and what to type then.

Not here: finding them (`expiry`).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from keystead.watch.backups import Backup
from keystead.watch.expiry import Expiry, Finding, Kind, Unreadable


@dataclass(frozen=True, slots=True)
class Status:
    """All findings at one moment, what ends first being first. ``within`` is the span that was asked for."""

    expiries: tuple[Expiry, ...]
    unreadable: tuple[Unreadable, ...]
    now: datetime
    within: timedelta
    backups: tuple[Backup, ...] = ()

    @property
    def due(self) -> tuple[Expiry, ...]:
        """What ends within the span, or has ended."""
        return tuple(entry for entry in self.expiries if entry.is_due(self.now, self.within))

    @property
    def noticed(self) -> tuple[Expiry, ...]:
        """What is not due yet, but takes the root key, which needs its time."""
        return tuple(
            entry for entry in self.expiries if entry not in self.due and entry.needs_notice(self.now)
        )

    @property
    def is_well(self) -> bool:
        """Whether nothing is due, and everything could be read."""
        return not self.due and not self.unreadable


def assess(
    findings: Iterable[Finding], now: datetime, within: timedelta, backups: Iterable[Backup] = ()
) -> Status:
    """The state at ``now``, looking ``within`` ahead."""
    found = list(findings)
    expiries = sorted(
        (entry for entry in found if isinstance(entry, Expiry)), key=lambda entry: (entry.ends, entry.path)
    )
    unreadable = tuple(entry for entry in found if isinstance(entry, Unreadable))
    return Status(tuple(expiries), unreadable, now, within, tuple(backups))


def mend(entry: Expiry, now: datetime, home: Path | None = None) -> tuple[str, str]:
    """Where, and what is typed there, before (or after) ``entry`` ends.

    ``home`` is that of this machine's CA, where it has to be named.
    """
    of = entry.environment or entry.elsewhere
    environment = f" --env {of}" if of else ""
    if entry.environment:
        environment += named(home)
    if entry.kind is Kind.SUBSCRIBER:
        if entry.ends <= now:
            return "here", entry.anew
        return "here", f"keystead csr {entry.path.stem} --renew --dir {shlex.quote(str(entry.path.parent))}"
    if entry.kind is Kind.CA:
        return (
            _CA,
            f"keystead ca list{environment}   (all of these need the next CA, which takes the root key)",
        )
    if entry.environment:
        return "here", f"keystead ca crl{environment}"
    return _CA, f"keystead ca crl{environment} --out crl.pem   (then put it here: {entry.path})"


def named(home: Path | None) -> str:
    """The option that names a CA's home; "" where it is the usual one."""
    return f" --home {shlex.quote(str(home))}" if home is not None else ""


_CA = "on the CA's machine"
