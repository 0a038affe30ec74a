"""What is wrong with a live server, as it shows itself to somebody without a certificate.

Nothing is sent to it here. Not here: whether it admits us (`admission`).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from keystead.errors import Distrusted, KeysteadError
from keystead.pki.certificates import (
    common_name,
    extended_key_usages,
    host_names,
    identity_of,
    issuer_name,
    trust_domain_of_ca,
)
from keystead.pki.chains import check_revocation, verify
from keystead.pki.expiry import CLOCK_TOLERANCE, in_words, when
from keystead.pki.names import HostNames, TrustDomain
from keystead.pki.verdicts import REVOKED
from keystead.subscriber.fileclient.address import ServerAddress
from keystead.tls.probe import Probed
from keystead.watch.doctor.checks import Check, Seen
from keystead.watch.doctor.holders import ends_soon
from keystead.watch.doctor.mends import AT_CA, AT_SERVER, at_server, here
from keystead.watch.doctor.outcomes import Step, Warned
from keystead.watch.doctor.scene import Certificates, Crl

_WANTED: Final = "TLSv1.3"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a server showed, whom the folder trusts, and when. ``anchors`` may be empty: then nothing is said
    of whom it belongs to."""

    probed: Probed
    anchors: Certificates
    crls: tuple[Crl, ...]
    now: datetime

    @property
    def leaf(self) -> tuple[x509.Certificate, ...]:
        """The server's certificate; none where it showed none."""
        return self.probed.certificates[:1]

    @property
    def domain(self) -> tuple[str, ...]:
        """The trust domain that the server's certificate claims, where it claims one."""
        return tuple(
            domain
            for leaf in self.leaf
            for domain in _domain(leaf, lambda own: identity_of(own).trust_domain)
        )

    @property
    def chains(self) -> tuple[Certificates, ...]:
        """The chain to one of our anchors, at a time when its certificate was good; or none."""
        for leaf in self.leaf:
            then = min(max(self.now, leaf.not_valid_before_utc), leaf.not_valid_after_utc)
            try:
                return (verify(leaf, self.probed.certificates[1:], self.anchors, now=then).certificates,)
            except Distrusted:
                return ()
        return ()

    def seen(self, detail: str = "", hosts: tuple[str, ...] = ()) -> Seen:
        """The server in a finding."""
        name = "NAME"
        for leaf in self.leaf:
            name = common_name(leaf) or name
        place = ServerAddress(self.probed.host, self.probed.port).authority
        return Seen(Path(place), detail, name=name, hosts=hosts)


def _old_protocol(endpoint: Endpoint) -> Iterator[Seen]:
    if endpoint.probed.protocol != _WANTED:
        yield endpoint.seen(endpoint.probed.protocol)


def _asks_nobody(endpoint: Endpoint) -> Iterator[Seen]:
    if not endpoint.probed.asks_for_certificate:
        yield endpoint.seen()


def _other_environment(endpoint: Endpoint) -> Iterator[Seen]:
    if endpoint.chains or not endpoint.anchors:
        return
    for domain in endpoint.domain:
        if not _lacks_its_ca(endpoint):
            yield endpoint.seen(domain)


def _in_between(endpoint: Endpoint) -> Iterator[Seen]:
    if endpoint.chains or not endpoint.anchors:
        return
    for leaf in endpoint.leaf:
        if not endpoint.domain:
            yield endpoint.seen(issuer_name(leaf) or "nobody who is named")


def _alone(endpoint: Endpoint) -> Iterator[Seen]:
    if _lacks_its_ca(endpoint):
        yield from (endpoint.seen(issuer_name(leaf)) for leaf in endpoint.leaf)


def _lacks_its_ca(endpoint: Endpoint) -> bool:
    """Whether it may well be one of ours: of our environment, and sent without its issuer."""
    ours = {domain for anchor in endpoint.anchors for domain in _domain(anchor, trust_domain_of_ca)}
    is_alone = len(endpoint.probed.certificates) == 1
    return is_alone and not endpoint.chains and not ours.isdisjoint(endpoint.domain)


def _domain(
    certificate: x509.Certificate, read: Callable[[x509.Certificate], TrustDomain]
) -> tuple[str, ...]:
    try:
        return (str(read(certificate)),)
    except KeysteadError:
        return ()


def _other_host(endpoint: Endpoint) -> Iterator[Seen]:
    for leaf in endpoint.leaf:
        covered = host_names(leaf)
        if not covers(covered, endpoint.probed.host):
            hosts = (*covered.texts, endpoint.probed.host)
            yield endpoint.seen(str(covered) or "no host at all", hosts)


def covers(names: HostNames, host: str) -> bool:
    """Whether a certificate with ``names`` is good for ``host`` (RFC 9525, section 6.3)."""
    wanted = HostNames.of([host]).texts
    if set(wanted) <= set(names.texts):
        return True
    _, _, parent = host.lower().partition(".")
    return bool(parent) and f"*.{parent}" in names.texts


def _expired(endpoint: Endpoint) -> Iterator[Seen]:
    for certificate in endpoint.probed.certificates:
        if certificate.not_valid_after_utc <= endpoint.now:
            yield endpoint.seen(
                f"{common_name(certificate)!r} ended on {when(certificate.not_valid_after_utc)}"
            )


def _ending(endpoint: Endpoint) -> Iterator[Seen]:
    for leaf in endpoint.leaf:
        end = leaf.not_valid_after_utc
        if ends_soon(leaf.not_valid_before_utc, end, endpoint.now):
            yield endpoint.seen(f"{when(end)}, in {in_words(end - endpoint.now)}")


def _not_begun(endpoint: Endpoint) -> Iterator[Seen]:
    for leaf in endpoint.leaf:
        if leaf.not_valid_before_utc > endpoint.now + CLOCK_TOLERANCE:
            yield endpoint.seen(
                f"it begins on {when(leaf.not_valid_before_utc)}, and it is {when(endpoint.now)}"
            )


def _no_server(endpoint: Endpoint) -> Iterator[Seen]:
    for leaf in endpoint.leaf:
        if ExtendedKeyUsageOID.SERVER_AUTH not in extended_key_usages(leaf):
            yield endpoint.seen()


def _revoked(endpoint: Endpoint) -> Iterator[Seen]:
    for links in endpoint.chains:
        for certificate, issuer in pairwise(links):
            try:
                check_revocation(certificate, issuer, endpoint.crls, endpoint.now)
            except Distrusted as error:
                if error.code == REVOKED.code:
                    yield endpoint.seen(error.why)


def _renewed_there(seen: Seen) -> tuple[Step, ...]:
    """The server's certificate again, for its hosts and for what was asked for besides.

    Names and hosts come from a stranger, so that none of them reaches the line unquoted.
    """
    name, csr, pem = (shlex.quote(f"{seen.name}{suffix}") for suffix in ("", ".csr", ".pem"))
    sans = "".join(f" --san {shlex.quote(host)}" for host in seen.hosts)
    return (
        Step(AT_SERVER, f"keystead csr {name} --renew{sans}"),
        Step(f"{AT_CA}, with {seen.name}.csr", f"keystead ca sign {csr} --profile server{sans}"),
        Step(f"{AT_SERVER}, with {seen.name}.pem", f"keystead install {pem}"),
    )


CHECKS: Final = (
    Check(
        "server-old-tls",
        "the server's version of TLS",
        _old_protocol,
        what="{path} speaks {detail}, not TLS 1.3",
        why="our clients speak nothing older: a proxy in between, or another server",
        mend=at_server("keystead serve"),
    ),
    Check(
        "server-asks-nobody",
        "whether the server asks for a client certificate",
        _asks_nobody,
        what="{path} asks for no client certificate",
        why="it cannot know who connects: a server without mutual TLS, or a proxy that ends TLS before it",
        mend=at_server("keystead serve"),
    ),
    Check(
        "server-of-another-environment",
        "the server's environment",
        _other_environment,
        what="{path} is no server of the environment that is trusted here",
        why="its certificate says {detail}, and no CA in ca.crt issued it",
        mend=at_server("keystead doctor"),
    ),
    Check(
        "server-not-ours",
        "who issued the server's certificate",
        _in_between,
        what="{path} shows a certificate that is not keystead's",
        why="it was issued by {detail}: a proxy in between that looks into TLS, or another server",
        mend=here("keystead show https://{path}"),
    ),
    Check(
        "server-chain-incomplete",
        "the chain that the server sends",
        _alone,
        what="{path} sends its own certificate alone",
        why="that of its CA, {detail}, belongs with it (RFC 8446, section 4.4.2)",
        mend=at_server("keystead doctor"),
    ),
    Check(
        "server-other-host",
        "the hosts of the server's certificate",
        _other_host,
        what="the certificate of {path} does not cover that host",
        why="it covers {detail}",
        mend=_renewed_there,
    ),
    Check(
        "server-expired",
        "the end of the server's certificate",
        _expired,
        what="the certificate of {path} has expired",
        why="that of {detail}",
        mend=at_server("keystead doctor"),
    ),
    Check(
        "server-ends-soon",
        "whether it ends soon",
        _ending,
        what="the certificate of {path} ends soon",
        why="it ends on {detail}",
        mend=_renewed_there,
        weight=Warned,
    ),
    Check(
        "server-not-yet-valid",
        "the beginning of the server's certificate",
        _not_begun,
        what="the certificate of {path} is not valid yet",
        why="{detail}: one of the two clocks is wrong",
        mend=at_server("timedatectl set-ntp true"),
    ),
    Check(
        "server-wrong-purpose",
        "what the server's certificate is for",
        _no_server,
        what="the certificate of {path} was not issued to a server",
        why="its extended key usage lacks serverAuth (RFC 5280, section 4.2.1.12)",
        mend=at_server("keystead csr {name} --profile server"),
    ),
    Check(
        "server-revoked",
        "the server's revocation",
        _revoked,
        what="the certificate of {path} is revoked",
        why="{detail}",
        mend=at_server("keystead doctor"),
    ),
)
"""The table."""
