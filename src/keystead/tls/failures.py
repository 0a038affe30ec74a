"""Why a connection to a server failed, as seen from here: one table for each kind of error, three lines each.

Not here: what the server says by an alert (`tls.alerts`) or by an answer (`wire.problems`).
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from cryptography import x509

from keystead.errors import Distrusted, KeysteadError, Unavailable
from keystead.pki.certificates import common_name, host_names, identity_of, issuer_name
from keystead.pki.expiry import when
from keystead.pki.names import TrustDomain
from keystead.pki.origins import issuer_names
from keystead.pki.verdicts import (
    CRL_INVALID,
    CRL_MISSING,
    CRL_STALE,
    EXPIRED,
    HOST_MISMATCH,
    IP_MISMATCH,
    NOT_YET_VALID,
    REVOKED,
    UNKNOWN_CA,
    WRONG_PURPOSE,
    Verdict,
    verdict,
)
from keystead.tls.alerts import Attempt, alert_of, explain_alert, reason_of
from keystead.tls.client import TELL
from keystead.tls.probe import probe
from keystead.wire.place import place_of

_LOOK_SECONDS = 3.0

Look = Callable[[str, int], tuple[x509.Certificate, ...]]
"""Fetches a server's certificates, unverified, leaf first, to be described; empty where it cannot."""


def look_at(host: str, port: int) -> tuple[x509.Certificate, ...]:
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
        return _unverified(error, attempt, look)
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


def _unverified(error: ssl.SSLCertVerificationError, attempt: Attempt, look: Look) -> KeysteadError:
    said = verdict(error.verify_code)
    seen = look(attempt.host, attempt.port)
    words = _UNVERIFIED.get(said)
    why, mend = words(attempt, seen) if words is not None else (f"OpenSSL says: {error.verify_message}", TELL)
    return Distrusted(
        f"the server {attempt.place} is not trusted: its certificate {_sentence(said, attempt)}",
        why=why,
        mend=mend,
        code=said.code,
    )


Words = Callable[[Attempt, tuple[x509.Certificate, ...]], tuple[str, str]]


def _sentence(said: Verdict, attempt: Attempt) -> str:
    if said in (HOST_MISMATCH, IP_MISMATCH):
        return f"{said.sentence} {attempt.host!r}"
    return said.sentence


def _wrong_host(attempt: Attempt, seen: tuple[x509.Certificate, ...]) -> tuple[str, str]:
    if not seen:
        return (
            f"{attempt.host!r} was wanted",
            "connect by a name that it has, or have it certified for this one",
        )
    names = host_names(seen[0])
    others = [text for text in names.texts if not text.startswith("*.")]
    near = (
        f"connect by a name that it has (--to https://{place_of(others[0], attempt.port)}), or "
        if others
        else ""
    )
    name = common_name(seen[0]) or "server"
    wanted = "".join(f" --san {host}" for host in (*names.texts, attempt.host))
    return (
        f"{attempt.host!r} was wanted, and the certificate has: {names}",
        f"{near}on the server: keystead csr {name} --renew{wanted}; on the CA's machine: keystead ca sign"
        f" {name}.csr{wanted}",
    )


def _unknown_ca(attempt: Attempt, seen: tuple[x509.Certificate, ...]) -> tuple[str, str]:
    issued = f"it was issued by {issuer_name(seen[0])!r}, and " if seen else ""
    own = attempt.credentials
    if own is None:
        return f"{issued}no CA is trusted here", TELL
    trusted = ", ".join(repr(common_name(anchor)) for anchor in own.anchors)
    domain = own.identity.trust_domain
    namesake = f"; both call themselves {domain}, and are two CAs" if _is_of(seen, domain) else ""
    return (
        f"{issued}{own.ca_path} trusts {trusted} only{namesake}",
        "use the folder of the server's environment (--dir DIR), or check that this is the server you mean",
    )


def _is_of(seen: tuple[x509.Certificate, ...], domain: TrustDomain) -> bool:
    try:
        return bool(seen) and identity_of(seen[0]).trust_domain == domain
    except Distrusted:
        return False


def _expired(attempt: Attempt, seen: tuple[x509.Certificate, ...]) -> tuple[str, str]:
    ended = [cert for cert in seen if cert.not_valid_after_utc <= attempt.now]
    if not ended:
        return f"it is {when(attempt.now)} here", f"check this machine's clock (date); else {TELL}"
    return (
        f"that of {common_name(ended[0])!r} ended on {when(ended[0].not_valid_after_utc)},"
        f" and it is {when(attempt.now)}",
        f"on the server: move {common_name(seen[0])}.* away, keystead csr {common_name(seen[0])} --profile"
        " server, have it signed, keystead install",
    )


def _not_yet(attempt: Attempt, seen: tuple[x509.Certificate, ...]) -> tuple[str, str]:
    begins = f"it begins on {when(seen[0].not_valid_before_utc)}, and " if seen else ""
    return f"{begins}it is {when(attempt.now)} here", "set this machine's clock right, or wait until then"


def _revoked(attempt: Attempt, _: tuple[x509.Certificate, ...]) -> tuple[str, str]:
    where = str(attempt.credentials.crl_path) if attempt.credentials else "the revocation list"
    return f"{where} names it, or a CA above it", f"do not send it anything; {TELL}"


def _crl_trouble(attempt: Attempt, _: tuple[x509.Certificate, ...]) -> tuple[str, str]:
    own = attempt.credentials
    where = str(own.crl_path) if own else "crl.pem"
    lists = (own.crls if own else None) or ()
    early = [crl.last_update_utc for crl in lists if crl.last_update_utc > attempt.now]
    if early:
        return (
            f"{where} holds a list that begins on {when(max(early))}, and it is {when(attempt.now)} here",
            "set this machine's clock right, or wait until then",
        )
    whose = f" of {own.identity.trust_domain}" if own else ""
    there = f", and holds that of {issuer_names(own.crls)}" if own and own.crls else ""
    return (
        f"{where} must hold a list in force of each CA{whose}, of the issuing one and the root{there}",
        f"take a fresh one from the CA (keystead ca crl --out crl.pem, there) and put it at {where}",
    )


def _no_server(attempt: Attempt, seen: tuple[x509.Certificate, ...]) -> tuple[str, str]:
    whose = f"it is that of {common_name(seen[0])!r}; " if seen else ""
    return f"{whose}a server's has the extended key usage serverAuth", f"do not send it anything; {TELL}"


_UNVERIFIED: Mapping[Verdict, Words] = MappingProxyType(
    {
        HOST_MISMATCH: _wrong_host,
        IP_MISMATCH: _wrong_host,
        UNKNOWN_CA: _unknown_ca,
        EXPIRED: _expired,
        NOT_YET_VALID: _not_yet,
        REVOKED: _revoked,
        CRL_MISSING: _crl_trouble,
        CRL_STALE: _crl_trouble,
        CRL_INVALID: _crl_trouble,
        WRONG_PURPOSE: _no_server,
    }
)
"""Verdict on the server's certificate → why and mend."""
