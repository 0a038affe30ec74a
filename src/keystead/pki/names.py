"""Who a certificate speaks for: names, environments, trust domains, identities, and the hosts it covers.

Not here: X.509 itself. These are values, made once from text and valid for as long as they live; without
slots, for they cross to worker processes with each request, and pickle is several times slower with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Self

from keystead.errors import BadInput, WrongUsage

MAX_TRUST_DOMAIN = 253
"""Octets; the limit of a DNS name (RFC 1035, section 2.3.4)."""

MAX_SANS = 100
"""Subject alternative names in one certificate: far above need, far below a denial of service."""

LOCAL_TRIO = ("localhost", "127.0.0.1", "::1")
"""One machine, three names: a certificate for one of them covers all three."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?")
_TRUST_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_RESERVED = frozenset({"ca", "root", "issuing", "crl"})
_SCHEME = "spiffe://"

IPAddress = IPv4Address | IPv6Address


def check_name(text: str) -> str:
    """Give back ``text`` if it is a NAME; raise `BadInput` otherwise. Call it before any path is built."""
    if not _NAME.fullmatch(text):
        raise BadInput(
            f"{text!r} is not a name that keystead accepts",
            why="a name is 1 to 63 of a-z 0-9 . _ - and begins and ends with a letter or a digit",
            mend="choose a name such as alice or web-1",
            code="bad-name",
        )
    if text in _RESERVED:
        raise BadInput(
            f"the name {text!r} is reserved",
            why="ca, root, issuing and crl name the CA's own files",
            mend="choose another name, such as alice or web-1",
            code="bad-name",
        )
    return text


def check_environment(text: str) -> str:
    """Give back ``text`` if it can name an environment; raise `WrongUsage` otherwise."""
    return _check_label(text, "an environment", "dev, staging or prod (--env ENV)")


def check_profile(text: str) -> str:
    """Give back ``text`` if it can name a profile; raise `WrongUsage` otherwise."""
    return _check_label(text, "a profile", "client or server (--profile PROFILE)")


def _check_label(text: str, kind: str, example: str) -> str:
    if not _LABEL.fullmatch(text):
        raise WrongUsage(
            f"{text!r} cannot name {kind}",
            why="it must be 1 to 32 of a-z 0-9 - , begin with a letter and end with a letter or a digit",
            mend=f"use for example {example}",
        )
    return text


def slug(text: str) -> str:
    """A DNS label made of an organisation's name: ``"Ärzte & Co. KG"`` → ``"rzte-co-kg"``."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-") or "keystead"


@dataclass(frozen=True, order=True)
class TrustDomain:
    """``ENV.DOMAIN``: the name of one environment of one organisation, in every certificate of it."""

    value: str

    def __post_init__(self) -> None:
        labels = self.value.split(".")
        if (
            len(self.value) > MAX_TRUST_DOMAIN
            or not _TRUST_DOMAIN.fullmatch(self.value)
            or len(labels) < 2
            or not all(labels)
            or not _LABEL.fullmatch(labels[0])
        ):
            raise BadInput(
                f"{self.value!r} is not a trust domain",
                why="a trust domain is ENV.DOMAIN, at most 253 of a-z 0-9 . -",
                mend="use for example prod.example.internal (--trust-domain gives the part after ENV)",
                code="bad-trust-domain",
            )

    @classmethod
    def of(cls, environment: str, domain: str) -> Self:
        """The trust domain of ``environment`` in ``domain``."""
        return cls(f"{check_environment(environment)}.{domain}")

    @property
    def environment(self) -> str:
        """The first label: ``prod`` of ``prod.example.internal``."""
        return self.value.partition(".")[0]

    @property
    def uri(self) -> str:
        """What a CA's certificate carries as its URI SAN."""
        return _SCHEME + self.value

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, order=True)
class Identity:
    """(environment, profile, NAME): whom a certificate is for. Permissions and files hang on all of it."""

    trust_domain: TrustDomain
    profile: str
    name: str

    def __post_init__(self) -> None:
        check_profile(self.profile)
        check_name(self.name)

    @property
    def uri(self) -> str:
        """``spiffe://TRUSTDOMAIN/PROFILE/NAME``, the one URI SAN of a leaf."""
        return f"{self.trust_domain.uri}/{self.profile}/{self.name}"

    @property
    def environment(self) -> str:
        """The environment that the trust domain names."""
        return self.trust_domain.environment

    @classmethod
    def parse(cls, uri: str) -> Self:
        """The identity that ``uri`` spells, whole; raise `BadInput` if it is anything else."""
        domain, *path = uri.removeprefix(_SCHEME).split("/")
        if not uri.startswith(_SCHEME) or len(path) != 2:
            raise BadInput(
                f"{uri!r} is not an identity",
                why=f"an identity is {_SCHEME}TRUSTDOMAIN/PROFILE/NAME",
                code="bad-identity",
            )
        try:
            return cls(TrustDomain(domain), *path)
        except WrongUsage as error:
            raise BadInput(f"{uri!r} is not an identity", why=error.why, code="bad-identity") from None

    def __str__(self) -> str:
        """``profile/name``, as the CA's commands take it."""
        return f"{self.profile}/{self.name}"


def parse_trust_domain_uri(uri: str) -> TrustDomain:
    """The trust domain that a CA's ``uri`` names; raise `BadInput` if it is anything else."""
    if not uri.startswith(_SCHEME):
        raise BadInput(f"{uri!r} names no trust domain", code="bad-trust-domain")
    return TrustDomain(uri.removeprefix(_SCHEME))


@dataclass(frozen=True)
class HostNames:
    """The DNS names and IP addresses that a certificate covers (RFC 5280, section 4.2.1.6), sorted."""

    dns: tuple[str, ...] = ()
    ips: tuple[IPAddress, ...] = field(default=())

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """The host names that ``texts`` spell (``"localhost"``, ``"*.example.org"``, ``"::1"``).

        A prefix ``DNS:`` or ``IP:`` as openssl prints it is taken too. Raises `BadInput` for anything that
        is neither.
        """
        dns: set[str] = set()
        ips: set[IPAddress] = set()
        for text in texts:
            bare = re.sub(r"(?i)^(dns|ip):", "", text.strip())
            # An IPv6 zone (fe80::1%eth0) means something on one machine alone: no certificate can hold it.
            try:
                ips.add(ip_address(bare.strip("[]").replace("%", " ")))
            except ValueError:
                dns.add(check_dns_name(bare))
        return cls(tuple(sorted(dns)), tuple(sorted(ips, key=lambda ip: (ip.version, ip))))

    @property
    def texts(self) -> tuple[str, ...]:
        """All of them as text, DNS names first."""
        return self.dns + tuple(map(str, self.ips))

    @property
    def wildcards(self) -> tuple[str, ...]:
        """Those that begin with ``*.``."""
        return tuple(name for name in self.dns if name.startswith("*."))

    def with_local_trio(self) -> Self:
        """The same, and where one of localhost, 127.0.0.1, ::1 is named, the other two as well."""
        if set(LOCAL_TRIO).isdisjoint(self.texts):
            return self
        return type(self).of((*self.texts, *LOCAL_TRIO))

    def __bool__(self) -> bool:
        return bool(self.dns or self.ips)

    def __le__(self, other: HostNames) -> bool:
        return set(self.texts) <= set(other.texts)

    def minus(self, other: HostNames) -> tuple[str, ...]:
        """Those that ``other`` lacks, as text."""
        lacking = set(other.texts)
        return tuple(text for text in self.texts if text not in lacking)

    def __str__(self) -> str:
        return ", ".join(self.texts) or "none"


def check_dns_name(text: str) -> str:
    """Give back ``text`` lower-cased if it is a DNS name, wildcard or not (RFC 1034, section 3.5; RFC 6125).

    Raises `BadInput` for anything else, names beyond ASCII included: those travel as ``xn--``.
    """
    name = text.lower().removesuffix(".")
    bare = name.removeprefix("*.")
    labels = bare.split(".")
    numeric_end = labels[-1].isdigit()
    wildcard_top = bare != name and len(labels) < 2
    if len(name) > 253 or numeric_end or wildcard_top or not all(map(_DNS_LABEL.fullmatch, labels)):
        raise BadInput(
            f"{text!r} is neither a DNS name nor an IP address",
            why="a DNS name is labels of a-z 0-9 - joined by dots; names beyond ASCII are written as xn--…",
            mend="name hosts as they are connected to, such as localhost, db.example.org or 10.0.0.7 (--san)",
            code="bad-san",
        )
    return name
