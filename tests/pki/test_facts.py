"""What "the same wishes" means."""

from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import Refused
from keystead.pki.facts import Wishes, wishes_digest
from keystead.pki.names import HostNames
from tests.pki.makers import (
    CLIENT,
    DAY,
    PROFILES,
    SERVER,
    facts,
    granted,
    identity,
    live,
    recorded,
    request,
)


def test_the_same_wishes_have_the_same_digest_in_any_order_of_hosts() -> None:
    one = wishes_digest(identity(), HostNames.of(["a", "b"]), DAY)
    assert one == wishes_digest(identity(), HostNames.of(["b", "a"]), DAY)


@pytest.mark.parametrize(
    "other",
    [
        (identity("bob"), HostNames.of(["a"]), DAY),
        (identity("alice", "operator"), HostNames.of(["a"]), DAY),
        (identity(), HostNames.of(["b"]), DAY),
        (identity(), HostNames(), DAY),
        (identity(), HostNames.of(["a"]), 2 * DAY),
    ],
)
def test_each_wish_changes_the_digest(other: tuple) -> None:  # type: ignore[type-arg]
    assert wishes_digest(*other) != wishes_digest(identity(), HostNames.of(["a"]), DAY)


@given(
    st.sampled_from(["client", "server", "operator"]),
    st.sampled_from([None, "bob"]),
    st.sampled_from([(), ("a",), ("*.a.b",), ("::1",)]),
    st.sampled_from([(CLIENT,), (SERVER,), (CLIENT, SERVER)]),
    st.booleans(),
    st.booleans(),
)
def test_whatever_is_granted_is_within_its_profile(
    profile: str,
    name: str | None,
    hosts: tuple[str, ...],
    purposes: tuple[x509.ObjectIdentifier, ...],
    held: bool,
    replaces: bool,
) -> None:
    asked = request("alice", hosts=hosts, purposes=purposes)
    known = facts(live=live(recorded(key_label="mallory"))) if held else facts()
    try:
        approved = granted(asked, Wishes(profile=profile, name=name, may_replace=replaces), known)
    except Refused:
        return
    assert approved.identity == identity(name or "alice", profile)
    assert set(purposes) <= PROFILES[profile].purposes
    assert PROFILES[profile].wants_hosts or not approved.grant.host_names
    assert not approved.grant.host_names.wildcards
    assert approved.grant.lifetime <= PROFILES[profile].max_lifetime
    assert (approved.grant.replaces is not None) == (held and replaces)
