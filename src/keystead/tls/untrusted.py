"""Why a server's certificate is not trusted, and what mends it: one table by OpenSSL's verdict.

What a stranger's certificate says is quoted in what is to be typed. Not here: whatever else ends a connection
(`failures`).
"""

from __future__ import annotations

import shlex
import ssl
from collections.abc import Callable, Mapping
from types import MappingProxyType

from cryptography import x509

from keystead.errors import Distrusted
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
from keystead.tls.alerts import Attempt
from keystead.tls.client import TELL
from keystead.wire.place import place_of

Chain = tuple[x509.Certificate, ...]

_Words = Callable[[Attempt, Chain], tuple[str, str]]


def untrusted(error: ssl.SSLCertVerificationError, attempt: Attempt, seen: Chain) -> Distrusted:
    """The error to show where the server's certificate does not stand OpenSSL's verification.

    ``seen`` is the chain that the server shows, leaf first, unverified; empty where nobody could look.
    """
    said = verdict(error.verify_code)
    words = _WORDS.get(said)
    why, mend = words(attempt, seen) if words is not None else (f"OpenSSL says: {error.verify_message}", TELL)
    return Distrusted(
        f"the server {attempt.place} is not trusted: its certificate {_sentence(said, attempt)}",
        why=why,
        mend=mend,
        code=said.code,
    )


def _sentence(said: Verdict, attempt: Attempt) -> str:
    if said in (HOST_MISMATCH, IP_MISMATCH):
        return f"{said.sentence} {attempt.host!r}"
    return said.sentence


def _wrong_host(attempt: Attempt, seen: Chain) -> tuple[str, str]:
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
    wanted = "".join(f" --san {shlex.quote(host)}" for host in (*names.texts, attempt.host))
    return (
        f"{attempt.host!r} was wanted, and the certificate has: {names}",
        f"{near}on the server: keystead csr {shlex.quote(name)} --renew{wanted};"
        f" on the CA's machine: keystead ca sign {shlex.quote(f'{name}.csr')}{wanted}",
    )


def _unknown_ca(attempt: Attempt, seen: Chain) -> tuple[str, str]:
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


def _is_of(seen: Chain, domain: TrustDomain) -> bool:
    try:
        return bool(seen) and identity_of(seen[0]).trust_domain == domain
    except Distrusted:
        return False


def _expired(attempt: Attempt, seen: Chain) -> tuple[str, str]:
    ended = [cert for cert in seen if cert.not_valid_after_utc <= attempt.now]
    if not ended:
        return f"it is {when(attempt.now)} here", f"check this machine's clock (date); else {TELL}"
    name = shlex.quote(common_name(seen[0]))
    return (
        f"that of {common_name(ended[0])!r} ended on {when(ended[0].not_valid_after_utc)},"
        f" and it is {when(attempt.now)}",
        f"on the server: move {name}.* away, keystead csr {name} --profile server, have it signed,"
        " keystead install",
    )


def _not_yet(attempt: Attempt, seen: Chain) -> tuple[str, str]:
    begins = f"it begins on {when(seen[0].not_valid_before_utc)}, and " if seen else ""
    return f"{begins}it is {when(attempt.now)} here", "set this machine's clock right, or wait until then"


def _revoked(attempt: Attempt, _: Chain) -> tuple[str, str]:
    where = str(attempt.credentials.crl_path) if attempt.credentials else "the revocation list"
    return f"{where} names it, or a CA above it", f"do not send it anything; {TELL}"


def _crl_trouble(attempt: Attempt, _: Chain) -> tuple[str, str]:
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


def _no_server(attempt: Attempt, seen: Chain) -> tuple[str, str]:
    whose = f"it is that of {common_name(seen[0])!r}; " if seen else ""
    return f"{whose}a server's has the extended key usage serverAuth", f"do not send it anything; {TELL}"


_WORDS: Mapping[Verdict, _Words] = MappingProxyType(
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
