"""Whether a live server admits us, tried for real: a request over mutual TLS, and what it shows of its clock.

Not here: what the server shows to anybody (`endpoint`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from keystead.errors import KeysteadError
from keystead.machine.clock import Clock
from keystead.pki.expiry import CLOCK_TOLERANCE, in_words
from keystead.subscriber.fileclient.address import ServerAddress
from keystead.subscriber.fileclient.connection import Connection
from keystead.tls.client import ClientCredentials, client_context
from keystead.tls.probe import Probed, probe
from keystead.watch.doctor.checks import of_error
from keystead.watch.doctor.outcomes import HERE, Broken, Outcome, Step, Warned, Well
from keystead.wire.whoami import PATH, Caller

_REACHED: Final = ("server-unreachable", "whether the server can be reached")
ADMITTED: Final = ("server-refuses", "whether the server admits this folder's certificate")
_SKEW: Final = ("clock-skew", "this machine's clock, by the server's")

_NOT_TLS: Final = ("wrong version number", "packet length too long", "record layer failure", "http request")
"""What OpenSSL says where the other side answered in clear text."""


@dataclass(frozen=True, slots=True)
class Reached:
    """The server showed itself."""

    probed: Probed


def knock(address: ServerAddress) -> Reached | Broken:
    """What the server at ``address`` shows; nothing is sent to it."""
    try:
        return Reached(probe(address.host, address.port))
    except KeysteadError as error:
        if any(words in error.why.lower() for words in _NOT_TLS):
            return _plain(address)
        return of_error(_REACHED[0], error)


def _plain(address: ServerAddress) -> Broken:
    return Broken(
        "server-plain",
        f"{address.authority} does not speak TLS",
        "it answered a TLS handshake in clear text: plain HTTP, or another service",
        (Step("on the server's machine", f"keystead serve --listen {address.authority}"),),
    )


def try_it(credentials: ClientCredentials, address: ServerAddress, clock: Clock) -> Iterator[Outcome]:
    """Whether ``GET /whoami`` is answered, to whom, and how far the two clocks stand apart."""
    code, looked_at = ADMITTED
    try:
        date = _date_of_visit(credentials, address, clock)
    except KeysteadError as error:
        yield of_error(code, error)
        return
    yield Well(code, looked_at)
    yield _skew(date, clock())


def _date_of_visit(credentials: ClientCredentials, address: ServerAddress, clock: Clock) -> str:
    with closing(Connection(address, client_context(credentials, clock), clock)) as connection:
        answer = connection.ask("GET", PATH)
    Caller.parse(answer.body)
    return answer.head.fields.get("date", "")


def _skew(date: str, now: datetime) -> Outcome:
    code, looked_at = _SKEW
    try:
        theirs = parsedate_to_datetime(date).astimezone(UTC)
    except ValueError:
        return Well(code, looked_at)  # RFC 9110, section 6.6.1, lets a server without a clock leave it out
    apart = abs(theirs - now)
    if apart <= CLOCK_TOLERANCE:
        return Well(code, looked_at)
    which = "behind" if theirs > now else "ahead of"
    return Warned(
        code,
        f"this machine's clock is {in_words(apart)} {which} the server's",
        "certificates and revocation lists are judged by it: what is good for one is over for the other",
        (Step(HERE, "timedatectl set-ntp true"),),
    )
