"""Brings the revocation lists of a URL into the file that a server watches, and goes on doing so.

A list gets into the file only if a CA that is known here signed it and nothing newer is there: whatever else
comes from the network leaves the file as it is. Not here: one question over HTTP (`tls.crlget`), and how a
changed file comes into force (`tls.reloading`).
"""

from __future__ import annotations

import asyncio
import math
import secrets
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from cryptography import x509

from keystead.errors import Distrusted, KeysteadError
from keystead.machine.clock import Clock, system_clock
from keystead.machine.files import PUBLIC, write_atomic
from keystead.pki.certificates import subject_key_id
from keystead.pki.revocation import issuer_key, load_signed_lists
from keystead.pki.signedlists import Pause, SignedList, no_pause
from keystead.tls.contexts import ServerCredentials
from keystead.tls.crlfile import CrlFile
from keystead.tls.crlget import NO_VALIDATORS, get, trusting
from keystead.tls.crls import NO_CRLS, advance_signed
from keystead.tls.crlurl import CrlUrl, Remote
from keystead.tls.reloading import REMIND_SECONDS, file_signature, give_way

GET_SECONDS: Final = 30.0
"""For one question and all of its answer."""

FIRST_SECONDS: Final = 10.0
"""The same at the start, which waits for it."""

_JITTER: Final = 0.1
"""Of the pause: a hundred servers that were started together do not ask together for ever."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What an answer changed: numbers by issuer, if the file was written; and what was not taken, and why."""

    numbers: Mapping[bytes, int] | None
    refusals: tuple[KeysteadError, ...]


def take(
    body: bytes,
    url: CrlUrl,
    path: Path,
    authorities: Iterable[x509.Certificate],
    now: datetime,
    pause: Pause = no_pause,
) -> Taken:
    """Take the newer lists of ``body`` into the file at ``path``, which keeps what it has of other issuers.

    Raises a `KeysteadError` where the body cannot be read or the file cannot be written.
    """
    authorities = tuple(authorities)
    advanced = partial(advance_signed, authorities=authorities, now=now, pause=pause)
    ours, foreign = _sorted_out(load_signed_lists(body, url.text, pause), url, authorities)
    file = CrlFile(path)
    floors = file.numbers()
    kept = advanced(NO_CRLS, _kept(file, pause), floors=floors).crls
    after = advanced(kept, ours, floors=floors)
    if after.crls is not kept:
        write_atomic(path, after.crls.pem(), PUBLIC)
    return Taken(after.crls.numbers() if after.crls is not kept else None, (*foreign, *after.refusals))


def _sorted_out(
    found: Iterable[SignedList], url: CrlUrl, authorities: Iterable[x509.Certificate]
) -> tuple[list[SignedList], list[KeysteadError]]:
    """Those of CAs whose signature can be checked here; of the others nobody knows who made them."""
    known = frozenset(map(subject_key_id, authorities))
    ours: list[SignedList] = []
    foreign: list[KeysteadError] = []
    for signed in found:
        if issuer_key(signed.crl) in known:
            ours.append(signed)
            continue
        foreign.append(
            Distrusted(
                f"the revocation list of {signed.crl.issuer.rfc4514_string()} at {url.text} is not taken",
                why="that CA is neither in ca.crt nor above this server's certificate,"
                " so that nobody can tell here whether the list is its own",
                mend="put this environment's lists there: keystead ca crl --out crl.pem   (at the CA)",
                code="crl-unknown-issuer",
            )
        )
    return ours, foreign


def _kept(file: CrlFile, pause: Pause) -> tuple[SignedList, ...]:
    with suppress(KeysteadError):  # of a file that cannot be read the watcher warns
        return file.read(pause)
    return ()


async def fetch_first(
    remote: Remote, path: Path, credentials: ServerCredentials
) -> tuple[KeysteadError, ...]:
    """Ask once, before anything is served, and take what is newer: what was not taken.

    Raises a `KeysteadError` where nothing usable came.
    """
    context = _context(remote.url, credentials)
    answer = await get(remote.url, NO_VALIDATORS, context=context, seconds=FIRST_SECONDS)
    return take(answer.body or b"", remote.url, path, credentials.authorities(), system_clock()).refusals


class Fetcher:
    """Asks ``remote`` again and again, and brings what is newer into the file at ``path``.

    ``credentials`` gives those in force. ``fetched`` is called with the numbers by issuer when the file was
    written, ``warn`` once for each cause (and hourly while it lasts), ``recovered`` when the last is gone.
    """

    def __init__(
        self,
        remote: Remote,
        path: Path,
        *,
        credentials: Callable[[], ServerCredentials],
        fetched: Callable[[Mapping[bytes, int]], None],
        warn: Callable[[KeysteadError], None],
        recovered: Callable[[], None],
        clock: Clock = system_clock,
    ) -> None:
        self._remote = remote
        self._path = path
        self._credentials = credentials
        self._fetched = fetched
        self._warn = warn
        self._recovered = recovered
        self._clock = clock
        self._validators = NO_VALIDATORS
        self._left: tuple[int, ...] = ()
        self._told: dict[tuple[str, str], float] = {}

    async def run(self) -> None:
        """Fetch until cancelled."""
        spread = secrets.SystemRandom().uniform
        while True:
            await asyncio.sleep(self._remote.poll.total_seconds() * spread(1 - _JITTER, 1 + _JITTER))
            await self.look()

    async def look(self) -> None:
        """Ask once; nothing is raised."""
        try:
            problems = await self._fetch()
        except KeysteadError as error:
            problems = (error,)
        except Exception as error:  # noqa: BLE001  a fetcher that ended would miss every later revocation
            problems = (_mistake(self._remote.url, error),)
        self._tell(problems)

    async def _fetch(self) -> tuple[KeysteadError, ...]:
        """Ask, with a condition only where the file is still as the last whole answer left it."""
        url, credentials = self._remote.url, self._credentials()
        known = self._validators if file_signature(self._path) == self._left else NO_VALIDATORS
        self._validators = NO_VALIDATORS  # until the answer is known to be good
        context = await asyncio.to_thread(_context, url, credentials)
        answer = await get(url, known, context=context, seconds=GET_SECONDS)
        if answer.body is None:
            self._validators = known
            return ()
        taken = await asyncio.to_thread(
            take, answer.body, url, self._path, credentials.authorities(), self._clock(), give_way
        )
        if taken.numbers is not None:
            self._fetched(taken.numbers)
        if not taken.refusals:
            self._validators, self._left = answer.validators, file_signature(self._path)
        return taken.refusals

    def _tell(self, problems: tuple[KeysteadError, ...]) -> None:
        now, before = time.monotonic(), self._told
        self._told = {}
        for problem in problems:
            cause = (problem.code, problem.what)
            since = before.get(cause, -math.inf)
            if now - since >= REMIND_SECONDS:
                since = now
                self._warn(problem)
            self._told[cause] = since
        if before and not problems:
            self._recovered()


def _context(url: CrlUrl, credentials: ServerCredentials) -> ssl.SSLContext | None:
    return trusting(credentials.anchors) if url.scheme == "https" else None


def _mistake(url: CrlUrl, error: Exception) -> KeysteadError:
    return KeysteadError(
        f"fetching {url.text} failed by a mistake of keystead",
        why=f"{type(error).__name__}: {error}",
        mend="what is in force stays; report this",
        code="mistake",
    )
