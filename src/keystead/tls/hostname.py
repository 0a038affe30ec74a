"""The name or address that OpenSSL must find in a server's certificate, where pyOpenSSL connects.

pyOpenSSL has no public call for it: the private names are detected here, and without them nothing is
connected. Not here: Python's own `ssl`, which compares names by itself.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from OpenSSL import SSL

_FLAGS = 0x20 | 0x4
"""X509_CHECK_FLAG_NEVER_CHECK_SUBJECT and _NO_PARTIAL_WILDCARDS, as Python's `ssl` sets them (RFC 9525)."""

_lib: Any = getattr(SSL, "_lib", None)


def expect_host(connection: SSL.Connection, host: str) -> None:
    """Have the server verified as ``host``, and tell it which name was wanted (RFC 6066, section 3).

    Raises `SSL.Error` where that cannot be had.
    """
    try:
        param = _lib.SSL_get0_param(connection._ssl)
        _lib.X509_VERIFY_PARAM_set_hostflags(param, _FLAGS)
        if (address := _address(host)) is not None:
            accepted = _lib.X509_VERIFY_PARAM_set1_ip(param, address, len(address))
        else:
            name = host.encode("idna")
            # To OpenSSL an empty name means that any will do.
            accepted = _lib.X509_VERIFY_PARAM_set1_host(param, name, len(name)) if name else 0
            connection.set_tlsext_host_name(name)
    except (AttributeError, TypeError, UnicodeError):
        accepted = 0
    if accepted != 1:
        raise SSL.Error(f"the name {host!r} cannot be compared with the server's certificate")


def _address(host: str) -> bytes | None:
    try:
        return ip_address(host).packed
    except ValueError:
        return None
