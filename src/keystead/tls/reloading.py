"""Where a server's material comes from, and how a change of it comes into force while serving.

What cannot be used leaves the last good in force, with a warning. Not here: who is cut off by a change
(`web.server`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from keystead.errors import Distrusted, KeysteadError, NotThere
from keystead.machine.clock import Clock, system_clock
from keystead.pki.certificates import subject_key_id
from keystead.pki.expiry import CRL_GRACE, in_words, when
from keystead.pki.origins import issuer_names
from keystead.tls.contexts import InForce, ServerCredentials
from keystead.tls.crlfile import CrlFile
from keystead.tls.crls import NO_CRLS, CrlSet, advance_signed, uncovered
from keystead.tls.crlurl import Remote

POLL_SECONDS = 0.25
"""Twice this, a look and a second one where the first failed, and the time to load stay under a second."""

REMIND_SECONDS = 3600.0
"""Between two warnings of a CRL that is out of date."""

_PAUSE_SECONDS = 0.0005
"""Between the steps of reading a large list: whoever waits for Python's lock else waits 5 ms each time."""


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """Where credentials and CRLs come from.

    ``load`` reads and checks the folder and gives a `ServerCredentials`, or raises a `KeysteadError`; it is
    called at the start, and on a thread whenever one of ``files`` has changed. ``crl`` is the file of the
    revocation lists (PEM, one of each CA), which the door reads and watches by itself; the highest numbers
    seen are remembered beside it. ``remote`` is a URL from which newer lists are brought into that file.
    """

    load: Callable[[], ServerCredentials]
    files: tuple[Path, ...]
    crl: Path
    remote: Remote | None = None


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a look at the files gave: what is in force from now on, and what could not be used."""

    in_force: InForce
    warnings: tuple[KeysteadError, ...]


def begin(source: CredentialSource, now: datetime, *, grace: timedelta = CRL_GRACE) -> Reloaded:
    """The first load. Raises a `KeysteadError` for whatever would let the wrong ones in, or nobody."""
    credentials = source.load()
    file = CrlFile(source.crl)
    taken = advance_signed(
        NO_CRLS, file.read(), authorities=credentials.authorities(), floors=file.numbers(), now=now
    )
    if taken.refusals:
        raise taken.refusals[0]
    lacking = uncovered(taken.crls, credentials.authorities())
    if lacking:
        raise NotThere(
            f"{source.crl} holds no revocation list of {', '.join(map(repr, lacking))}",
            why=f"it holds that of {issuer_names(taken.crls.crls)}, and a client's whole chain is checked",
            mend="bring crl.pem from the CA, which holds both: keystead ca crl --out crl.pem   (there)",
            code="crl-missing",
        )
    issuers = map(subject_key_id, credentials.authorities())
    if now.timestamp() >= taken.crls.usable_until(issuers, grace):
        raise _stale(source.crl, taken.crls, now, grace)
    in_force = InForce.of(credentials, taken.crls, grace=grace)
    return Reloaded(in_force, (*_remember(file, taken.crls), *staleness(source, in_force, now)))


def again(source: CredentialSource, current: InForce, now: datetime) -> Reloaded:
    """A later load: credentials and CRLs each come into force or stay as they are."""
    warnings: list[KeysteadError] = []
    credentials, crls, file = current.credentials, current.crls, CrlFile(source.crl)
    try:
        credentials = source.load()
    except KeysteadError as error:
        warnings.append(error)
    try:
        taken = advance_signed(
            crls,
            file.read(give_way),
            authorities=credentials.authorities(),
            floors=file.numbers(),
            now=now,
            pause=give_way,
        )
        crls = taken.crls
        warnings += taken.refusals
    except KeysteadError as error:
        warnings.append(error)
    in_force = current
    if credentials != current.credentials or crls is not current.crls:
        try:
            in_force = InForce.of(credentials, crls, grace=current.grace)
        except KeysteadError as error:  # the new pair does not fit: the CRLs come into force all the same
            warnings.append(error)
            in_force = InForce.of(current.credentials, crls, grace=current.grace)
    return Reloaded(in_force, (*warnings, *_remember(file, in_force.crls)))


def give_way() -> None:
    """What a thread beside the loop does between two steps."""
    time.sleep(_PAUSE_SECONDS)


def staleness(source: CredentialSource, in_force: InForce, now: datetime) -> tuple[KeysteadError, ...]:
    """The warning to give where a CRL is past its nextUpdate."""
    if not in_force.crls.stale(now):
        return ()
    return (_stale(source.crl, in_force.crls, now, in_force.grace),)


def _stale(path: Path, crls: CrlSet, now: datetime, grace: timedelta) -> Distrusted:
    since = min(entry.next_update for entry in crls.stale(now))
    left = since + grace - now
    return Distrusted(
        f"the revocation list {path} is out of date since {when(since)}",
        why=(
            f"nobody is let in from {when(since + grace)} on, in {in_words(left)}"
            if left > timedelta()
            else f"nobody is let in any more: the grace of {in_words(grace)} is over"
        ),
        mend="bring a fresh crl.pem from the CA: keystead ca crl --out crl.pem   (there)",
        code="crl-stale",
    )


def _remember(file: CrlFile, crls: CrlSet) -> tuple[KeysteadError, ...]:
    try:
        file.remember(crls.numbers())
    except KeysteadError as error:
        return (error,)
    return ()


class Watcher:
    """Looks at the files of ``source`` several times a second, and brings a change into force.

    ``swap`` is called on the loop with what is newly in force, ``warn`` with what could not be used; the
    loading itself runs on a thread. A pair that is being replaced file by file does not fit for a moment:
    the warning comes only if a second look finds the same.
    """

    def __init__(
        self,
        source: CredentialSource,
        current: InForce,
        *,
        swap: Callable[[InForce], None],
        warn: Callable[[KeysteadError], None],
        clock: Clock = system_clock,
    ) -> None:
        self._source = source
        self._current = current
        self._swap = swap
        self._warn = warn
        self._clock = clock
        self._seen = self._signature()
        self._retry = False

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        reminded = loop.time()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  a watch that ended would miss every later revocation
                self._warn(_mistake(error))
            if loop.time() - reminded >= REMIND_SECONDS:
                reminded = loop.time()
                for warning in staleness(self._source, self._current, self._clock()):
                    self._warn(warning)

    async def look(self) -> None:
        """Load again if a file has changed since the last look, or the last load failed once."""
        signature = self._signature()
        changed = signature != self._seen
        if not changed and not self._retry:
            return
        self._seen = signature
        reloaded = await asyncio.to_thread(again, self._source, self._current, self._clock())
        if reloaded.in_force is not self._current:
            self._current = reloaded.in_force
            self._swap(reloaded.in_force)
        if changed and reloaded.warnings:
            self._retry = True
            return
        self._retry = False
        for warning in reloaded.warnings:
            self._warn(warning)

    def _signature(self) -> tuple[tuple[int, ...], ...]:
        return tuple(file_signature(path) for path in (*self._source.files, self._source.crl))


def _mistake(error: Exception) -> KeysteadError:
    return KeysteadError(
        "loading the changed files failed by a mistake of keystead",
        why=f"{type(error).__name__}: {error}",
        mend="what was in force stays; write the files anew, and report this",
        code="mistake",
    )


def file_signature(path: Path) -> tuple[int, ...]:
    """What changes whenever the file does; empty where it cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
