"""What is demanded of a request by itself: its key, what it asks for, and whether the profile grants that.

Not here: what the inventory knows of its key and its identity (`priorrules`).
"""

from __future__ import annotations

from collections.abc import Iterator

from keystead.errors import Violation
from keystead.pki.application import Application, Rule
from keystead.pki.keys import describe, is_experimental, weaknesses
from keystead.pki.profiles import purpose_in_words

_PROFILE_FOR = {"serverAuth": "server", "clientAuth": "client"}


def _possession(asked: Application) -> Iterator[Violation]:
    if not asked.request.proves_possession:
        yield Violation(
            "no-possession",
            "the CSR's signature was not made by the key that it holds",
            "make the CSR again, on the machine that has the key: keystead csr NAME",
        )


def _strength(asked: Application) -> Iterator[Violation]:
    yield from weaknesses(asked.request.public_key)
    if is_experimental(asked.request.public_key) and not asked.profile.post_quantum:
        yield Violation(
            "experimental-key",
            f"the profile {asked.profile.name} takes no keys of the experimental type"
            f" {describe(asked.request.public_key)}",
            "make another: keystead csr NAME --key-type p256;"
            " or set post-quantum = true in a profile of ca.toml",
        )


def _expectation(asked: Application) -> Iterator[Violation]:
    fingerprint = asked.request.key_fingerprint
    if asked.wishes.expect is not None and not fingerprint.matches(asked.wishes.expect):
        yield Violation(
            "unexpected-key",
            f"the CSR's key has the fingerprint {fingerprint}, not the one expected",
            "the CSR may have been exchanged on its way: compare by telephone with what `csr` printed",
        )


def _authority(asked: Application) -> Iterator[Violation]:
    if asked.request.wants_ca:
        yield Violation("wants-ca", "it asks to be a CA (CA:TRUE)", "make the CSR without CA:TRUE")
    for uri in asked.request.uris:
        if uri != asked.identity.uri:
            yield Violation(
                "foreign-identity",
                f"it asks for the identity {uri!r}, and would be {asked.identity.uri!r}",
                "make the CSR without a URI SAN: the CA sets it",
            )


def _purpose(asked: Application) -> Iterator[Violation]:
    for oid in sorted(asked.request.purposes - asked.profile.purposes, key=lambda oid: oid.dotted_string):
        name = purpose_in_words(oid)
        fitting = _PROFILE_FOR.get(name)
        yield Violation(
            "wrong-purpose",
            f"it asks for the extended key usage {name},"
            f" which the profile {asked.profile.name} does not grant",
            f"if that is right: --profile {fitting}" if fitting else "make the CSR without it",
        )


def _hosts(asked: Application) -> Iterator[Violation]:
    profile = asked.profile
    if not profile.wants_hosts:
        if asked.wishes.host_names:
            yield Violation(
                "bad-san",
                f"the profile {profile.name} covers no hosts, and --san names {asked.wishes.host_names}",
                "sign without --san, or with --profile server",
            )
        return
    if asked.wishes.host_names is None:
        for text in asked.request.bad_host_names:
            yield Violation(
                "bad-san", f"its SAN {text!r} is no DNS name", "name its hosts yourself: --san HOST"
            )
    if profile.needs_host and not asked.host_names:
        yield Violation(
            "no-san",
            f"the profile {profile.name} needs at least one host name, and the CSR has none",
            "name one: --san HOST (clients compare it with what they connect to; the CN is not looked at)",
        )
    if not profile.wildcards:
        for wildcard in asked.host_names.wildcards:
            yield Violation(
                "wildcard",
                f"the profile {profile.name} grants no wildcard such as {wildcard}",
                "name each host, or set wildcards = true in a profile of ca.toml",
            )
    if outside := profile.outside(asked.host_names):
        yield Violation(
            "bad-san",
            f"the profile {profile.name} does not grant {', '.join(outside)}",
            f"widen dns or ips of [profiles.{profile.name}] in ca.toml, or leave them out",
        )


RULES: tuple[Rule, ...] = (
    _possession,
    _strength,
    _expectation,
    _authority,
    _purpose,
    _hosts,
)
