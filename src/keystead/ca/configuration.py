"""``ca.toml``: what an environment's CA is, once `ca init` has made it, and the profiles that it adds.

Not here: opening the environment (`home`). People may edit the ``[profiles.…]`` tables; the rest is fixed
when the CA is made, for certificates say it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from keystead.errors import BadInput, KeysteadError, NotThere, WrongUsage
from keystead.pki.keys import KeyType, parse_key_type
from keystead.pki.names import TrustDomain
from keystead.pki.profiles import Profile, parse_profile, parse_profiles

MAX_OCTETS = 256 * 1024
_MAX_COMMON_NAME = 64
"""Characters: ub-common-name (RFC 5280, appendix A.1)."""

MAX_URL = 500
"""Characters: it stands in every certificate."""

_PUBLIC_URL = re.compile(r"http://[!\"$-;=@-~]+")  # ASCII (RFC 3986) without # < > ?


@dataclass(frozen=True, slots=True)
class Configuration:
    """What distinguishes one environment's CA, with all of its profiles by name."""

    organization: str
    trust_domain: TrustDomain
    key_type: KeyType
    public_url: str | None
    profiles: Mapping[str, Profile]

    @property
    def environment(self) -> str:
        """The environment, as its trust domain names it."""
        return self.trust_domain.environment

    @property
    def granted(self) -> Mapping[str, Profile]:
        """The profiles as they are granted: a CA whose own keys are experimental takes such keys in all."""
        if not self.key_type.is_experimental:
            return self.profiles
        return {name: replace(profile, post_quantum=True) for name, profile in self.profiles.items()}

    def profile(self, name: str) -> Profile:
        """The profile of that name, as it is granted; raises `NotThere`, naming those that there are."""
        try:
            return self.granted[name]
        except KeyError:
            raise NotThere(
                f"the environment {self.environment!r} has no profile {name!r}",
                why=f"its profiles are {', '.join(self.profiles)}",
                mend=f"choose one of them, or add a table [profiles.{name}] to its ca.toml",
                code="no-profile",
            ) from None


def max_organization(environment: str) -> int:
    """How many characters an organization may have there: the CN ``ORG ENV issuing`` has to hold it."""
    return _MAX_COMMON_NAME - len(f" {environment} issuing")


def check_organization(text: str, environment: str) -> str:
    """Give back ``text`` if it can stand as O in the subjects of ``environment``; raises `WrongUsage`."""
    if not text.strip() or len(text) > max_organization(environment) or not text.isprintable():
        raise WrongUsage(
            f"{text!r} cannot name an organization",
            why=f"it must be 1 to {max_organization(environment)} printable characters",
            mend="give a shorter one: --org ORG",
        )
    return text


def check_public_url(text: str) -> str:
    """Give back ``text`` if certificates may name it as the place of CRLs; raises `WrongUsage`.

    It must be plain http: a client that checks revocation to trust https would have to trust https first
    (RFC 5280, section 8).
    """
    if not _PUBLIC_URL.fullmatch(text) or len(text) > MAX_URL or not _is_plain(text):
        raise WrongUsage(
            f"{text!r} cannot be the CA's public URL",
            why="CRLs and CA certificates are fetched over plain http (they are signed: RFC 5280, section 8)",
            mend="give a URL such as http://pki.example.org (--public-url)",
        )
    return text.rstrip("/")


def _is_plain(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port_is_sound = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return bool(parts.hostname) and port_is_sound and parts.username is None


def shipped_profiles() -> dict[str, Profile]:
    """The profiles that come with keystead."""
    text = resources.files("keystead.pki").joinpath("profiles.toml").read_text(encoding="utf-8")
    return parse_profiles(text, "keystead's profiles.toml")


def encode(configuration: Configuration) -> bytes:
    """A new ``ca.toml``."""
    lines = [
        f"# The CA of the environment {configuration.environment}, as `ca init` made it. These lines",
        "# stand in certificates: they cannot be changed here. Profiles may be added below.",
        f"organization = {_toml(configuration.organization)}",
        f"trust-domain = {_toml(configuration.trust_domain.value)}",
        f"key-type = {_toml(configuration.key_type.value)}",
    ]
    if configuration.public_url is not None:
        lines.append(f"public-url = {_toml(configuration.public_url)}")
    lines += ["", *_EXAMPLE.splitlines()]
    return "\n".join(lines).encode() + b"\n"


_EXAMPLE = """\
# [profiles.gateway]
# purposes = ["serverAuth", "clientAuth"]
# lifetime = "30d"
# max-lifetime = "90d"
# dns = [".example.org"]
# ips = "none"
# needs-host = true\
"""


def _toml(text: str) -> str:
    # A JSON string is a TOML basic string, for these characters: control characters are not let in.
    return json.dumps(text, ensure_ascii=False)


def decode(data: bytes, source: str) -> Configuration:
    """What ``ca.toml`` says; ``source`` names it in errors (`BadInput`)."""
    try:
        table = tomllib.loads(data.decode())
        return _decode(table, source)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, WrongUsage) as error:
        why = error.what if isinstance(error, KeysteadError) else _reason(error)
        raise BadInput(
            f"{source} cannot be read",
            why=why,
            mend="mend that line, or bring the file back from a backup",
            code="bad-config",
        ) from None


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)


def _decode(table: dict[str, Any], source: str) -> Configuration:
    known = {"organization", "trust-domain", "key-type", "public-url", "profiles"}
    if unknown := set(table) - known:
        raise ValueError(f"unknown keys: {', '.join(sorted(unknown))}")
    own = {name: parse_profile(name, value, source) for name, value in table.get("profiles", {}).items()}
    public_url = table.get("public-url")
    trust_domain = _trust_domain(table["trust-domain"])
    return Configuration(
        organization=check_organization(table["organization"], trust_domain.environment),
        trust_domain=trust_domain,
        key_type=parse_key_type(table["key-type"]),
        public_url=None if public_url is None else check_public_url(public_url),
        profiles=MappingProxyType(shipped_profiles() | own),
    )


def _trust_domain(text: str) -> TrustDomain:
    try:
        return TrustDomain(text)
    except BadInput as error:
        raise ValueError(error.what) from None
