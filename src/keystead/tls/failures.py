"""Why a connection to a server failed, as seen from here: one table for each kind of error, three lines each.

Not here: why its certificate is not trusted (`untrusted`), and what the server says by an alert (`alerts`) or
by an answer (`wire.problems`).
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from keystead.errors import KeysteadError, Unavailable
from keystead.tls.alerts import Attempt, alert_of, explain_alert, reason_of
from keystead.tls.probe import probe
from keystead.tls.untrusted import Chain, untrusted

_LOOK_SECONDS = 3.0

Look = Callable[[str, int], Chain]
"""Fetches a server's certificates, unverified, leaf first, to be described; empty where it cannot."""


def look_at(host: str, port: int) -> Chain:
    """The usual `Look`: a connection of its own, which presents and sends nothing."""
    try:
        return probe(host, port, timeout=_LOOK_SECONDS).certificates
    except KeysteadError:
        return ()


@contextmanager
def explained(attempt: Callable[[], Attempt], look: Look = look_at) -> Iterator[None]:
    """Any network or TLS error of the body is raised as `explain` words it; others pass."""
    try:
        yield
    except KeysteadError:
        raise
    except Exception as error:
        cause = _network_error(error)
        if cause is None:
            raise
        if isinstance(cause, KeysteadError):
            raise cause from error
        raise explain(cause, attempt(), look) from error


def _network_error(error: BaseException | None) -> OSError | KeysteadError | None:
    """The error that an HTTP library wrapped, at the bottom of it."""
    found: OSError | KeysteadError | None = None
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError | KeysteadError):
            found = error
        error = error.__cause__ or error.__context__
    return found


def explain(error: OSError, attempt: Attempt, look: Look = look_at) -> KeysteadError:
    """The error to show for ``error``, which ended ``attempt``."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return untrusted(error, attempt, look(attempt.host, attempt.port))
    if isinstance(error, ssl.SSLError):
        alert = alert_of(error)
        return explain_alert(alert, attempt) if alert is not None else _tls_failed(error, attempt)
    for kind, words in _NETWORK.items():
        if isinstance(error, kind):
            return _unavailable(attempt, words)
    known = _BY_ERRNO.get(error.errno or 0)
    return _unavailable(attempt, known) if known is not None else _unforeseen(attempt, str(error))


@dataclass(frozen=True, slots=True)
class _Words:
    """Why and mend, in which ``{place}``, ``{host}`` and ``{port}`` may stand, and the code."""

    why: str
    mend: str
    code: str = "unreachable"


def _unavailable(attempt: Attempt, words: _Words) -> Unavailable:
    place = {"place": attempt.place, "host": attempt.host, "port": attempt.port}
    return Unavailable(
        f"no connection to {attempt.place}",
        why=words.why.format(**place),
        mend=words.mend.format(**place),
        code=words.code,
    )


def _unforeseen(attempt: Attempt, said: str, code: str = "unreachable") -> Unavailable:
    return Unavailable(
        f"no connection to {attempt.place}",
        why=said,
        mend=f"look at the server: keystead show https://{attempt.place}",
        code=code,
    )


_CUT = _Words("the connection was cut without a word", "try again; the server's log may say why", "cut")

_NETWORK: Mapping[type[OSError], _Words] = MappingProxyType(
    {
        socket.gaierror: _Words(
            "the name {host!r} cannot be resolved to an address",
            "check the spelling (--to URL), or try: getent hosts {host}",
        ),
        ConnectionRefusedError: _Words(
            "nobody listens there",
            "start the server (keystead serve, on its machine), or name another (--to URL)",
        ),
        TimeoutError: _Words(
            "there was no answer in time",
            "check address and firewall: ping {host}; and that the server is not overloaded",
            "timeout",
        ),
        ConnectionResetError: _CUT,
        ConnectionAbortedError: _CUT,
        BrokenPipeError: _CUT,
    }
)
"""Kind of error → why, mend, code. The kinds are Python's, for errno differs between systems."""

_BY_ERRNO: Mapping[int, _Words] = MappingProxyType(
    {
        errno.EHOSTUNREACH: _Words("there is no way to that host", "check address and network: ping {host}"),
        errno.ENETUNREACH: _Words(
            "there is no way to that network", "check this machine's network: ip route"
        ),
        errno.EADDRNOTAVAIL: _Words(
            "this machine has no free address or port for it", "try again in a minute"
        ),
        errno.EMFILE: _Words("too many files are open", "raise the limit: ulimit -n 4096"),
    }
)

_NOT_TLS = _Words(
    "the server there does not speak TLS: it is plain HTTP or something else",
    "check the port (--to https://{host}:PORT); keystead serve listens on 8443",
    "not-tls",
)
_OLD = _Words(
    "the server there speaks no TLS 1.3",
    "connect to keystead serve itself, or allow TLS 1.3 on the proxy before it",
    "old-tls",
)
_EOF = _Words(
    "it closed the connection in the middle",
    "try again; the server's log may say why. A port of another service answers so, too",
    "cut",
)

_REASONS: Mapping[str, _Words] = MappingProxyType(
    {
        "WRONG_VERSION_NUMBER": _NOT_TLS,
        "PACKET_LENGTH_TOO_LONG": _NOT_TLS,
        "RECORD_LAYER_FAILURE": _NOT_TLS,
        "HTTP_REQUEST": _NOT_TLS,
        "UNKNOWN_PROTOCOL": _NOT_TLS,
        "UNSUPPORTED_PROTOCOL": _OLD,
        "UNEXPECTED_EOF_WHILE_READING": _EOF,
    }
)
"""OpenSSL's reason for an error on this side → why, mend, code."""


def _tls_failed(error: ssl.SSLError, attempt: Attempt) -> KeysteadError:
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return _unavailable(attempt, _EOF)
    words = _REASONS.get(reason_of(error))
    if words is not None:
        return _unavailable(attempt, words)
    return _unforeseen(attempt, f"OpenSSL says: {reason_of(error) or error}", "tls-failed")
