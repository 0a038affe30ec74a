"""Profiles: what a kind of certificate may be, as data that is validated once and never again.

Not here: where the text comes from (the package's ``profiles.toml``, an environment's ``ca.toml``), and
checking a request against one (`policy`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from keystead.errors import BadInput, KeysteadError
from keystead.pki.expiry import parse_lifetime
from keystead.pki.names import HostNames, check_dns_name, check_profile

PURPOSES: Mapping[str, x509.ObjectIdentifier] = {
    "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "serverAuth": ExtendedKeyUsageOID.SERVER_AUTH,
}

_PURPOSE_NAMES = {oid: name for name, oid in PURPOSES.items()}

LONGEST = timedelta(days=3650)
"""No certificate outlives its root."""

_KEYS = frozenset(
    {"purposes", "lifetime", "max-lifetime", "dns", "ips", "wildcards", "needs-host", "post-quantum"}
)


@dataclass(frozen=True, slots=True)
class Profile:
    """What one kind of leaf certificate may be. ``dns`` and ``ips`` are None where any is granted.

    ``post_quantum`` lets in keys of the experimental type ML-DSA-65.
    """

    name: str
    purposes: frozenset[x509.ObjectIdentifier]
    lifetime: timedelta
    max_lifetime: timedelta
    dns: tuple[str, ...] | None
    ips: tuple[IPv4Network | IPv6Network, ...] | None
    wildcards: bool
    needs_host: bool
    post_quantum: bool = False

    @property
    def wants_hosts(self) -> bool:
        """Whether its certificates cover hosts at all."""
        return self.dns != () or self.ips != ()

    def outside(self, host_names: HostNames) -> tuple[str, ...]:
        """Those of ``host_names`` that it does not grant, as text; wildcards apart."""
        foreign_dns = [name for name in host_names.dns if not self._grants_dns(name)]
        foreign_ips = [
            str(ip)
            for ip in host_names.ips
            if self.ips is not None and not any(ip in network for network in self.ips)
        ]
        return (*foreign_dns, *foreign_ips)

    def _grants_dns(self, name: str) -> bool:
        return self.dns is None or any(
            name.endswith(suffix) or name == suffix.removeprefix(".") for suffix in self.dns
        )


def parse_profiles(text: str, source: str) -> dict[str, Profile]:
    """The profiles in a TOML document of ``[NAME]`` tables; ``source`` names it in errors (`BadInput`)."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a ValueError of Python's
        raise BadInput(f"{source} is not TOML", why=str(error), code="bad-config") from None
    return {name: parse_profile(name, table, source) for name, table in tables.items()}


def parse_profile(name: str, table: Any, source: str) -> Profile:
    """The profile that one table describes; ``source`` names where it stands in errors (`BadInput`)."""
    try:
        check_profile(name)
        return _parse(name, table)
    except (KeysteadError, ValueError, TypeError, KeyError, AttributeError) as error:
        why = error.what if isinstance(error, KeysteadError) else _reason(error)
        raise BadInput(
            f"{source}: the profile {name!r} is not valid",
            why=why,
            mend=f"use {', '.join(sorted(_KEYS))}",
            code="bad-config",
        ) from None


def _reason(error: Exception) -> str:
    return f"{error.args[0]} is missing or unknown" if isinstance(error, KeyError) else str(error)


def _parse(name: str, table: Mapping[str, Any]) -> Profile:
    if unknown := set(table) - _KEYS:
        raise ValueError(f"unknown keys: {', '.join(sorted(unknown))}")
    profile = Profile(
        name=name,
        purposes=frozenset(PURPOSES[purpose] for purpose in table["purposes"]),
        lifetime=parse_lifetime(table["lifetime"]),
        max_lifetime=parse_lifetime(table.get("max-lifetime", table["lifetime"])),
        dns=_dns(table.get("dns", "none")),
        ips=_ips(table.get("ips", "none")),
        wildcards=_flag(table, "wildcards"),
        needs_host=_flag(table, "needs-host"),
        post_quantum=_flag(table, "post-quantum"),
    )
    if not profile.purposes:
        raise ValueError("it has no purposes")
    if profile.lifetime > profile.max_lifetime:
        raise ValueError("its lifetime is longer than its max-lifetime")
    if profile.max_lifetime > LONGEST:
        raise ValueError(f"its max-lifetime is longer than {LONGEST.days}d")
    if profile.needs_host and not profile.wants_hosts:
        raise ValueError("it needs a host, and its dns and ips grant none")
    return profile


def _flag(table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"{key} must be true or false")
    return value


def _dns(value: Any) -> tuple[str, ...] | None:
    suffixes = _any_or_none(value)
    return suffixes and tuple(map(_suffix, suffixes))


def _suffix(text: str) -> str:
    if text.startswith("*"):
        raise ValueError(f"dns takes suffixes such as .example.org, not {text!r}; see wildcards")
    return "." + check_dns_name(text.removeprefix("."))


def _ips(value: Any) -> tuple[IPv4Network | IPv6Network, ...] | None:
    networks = _any_or_none(value)
    return None if networks is None else tuple(map(ip_network, networks))


def _any_or_none(value: Any) -> tuple[str, ...] | None:
    if value == "any":
        return None
    if value == "none":
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError('dns and ips are "any", "none" or a list of texts')
    return tuple(value)


def purpose_in_words(purpose: x509.ObjectIdentifier) -> str:
    """An extended key usage for people: ``serverAuth``, or its number."""
    return _PURPOSE_NAMES.get(purpose, purpose.dotted_string)


def purposes_in_words(purposes: Iterable[x509.ObjectIdentifier]) -> str:
    """Extended key usages for people: ``clientAuth, serverAuth``."""
    return ", ".join(sorted(map(purpose_in_words, purposes))) or "any"
