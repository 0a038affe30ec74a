from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from keystead.errors import BadInput
from keystead.pki.names import HostNames
from keystead.pki.profiles import Profile, parse_profile, parse_profiles
from tests.pki.makers import CLIENT, PROFILES, SERVER

GATEWAY: dict[str, Any] = {
    "purposes": ["serverAuth", "clientAuth"],
    "lifetime": "30d",
    "max-lifetime": "90d",
    "dns": [".example.org", "other.net"],
    "ips": ["10.0.0.0/8", "fd00::/8"],
    "wildcards": True,
    "needs-host": True,
}


def parse(**changes: Any) -> Profile:
    table = {key: value for key, value in {**GATEWAY, **changes}.items() if value is not None}
    return parse_profile("gateway", table, "ca.toml")


def test_the_shipped_profiles_are_as_the_design_says() -> None:
    assert set(PROFILES) == {"client", "server", "operator"}
    client, server = PROFILES["client"], PROFILES["server"]
    assert client.purposes == {CLIENT}
    assert server.purposes == {SERVER}
    assert (client.lifetime, server.lifetime) == (timedelta(days=30), timedelta(days=90))
    assert not client.wants_hosts
    assert server.wants_hosts
    assert server.needs_host
    assert not server.wildcards


def test_the_servers_profile_grants_any_dns_name_and_any_address() -> None:
    assert PROFILES["server"].outside(HostNames.of(["a.b", "localhost", "8.8.8.8", "::1"])) == ()


def test_a_profile_says_all_that_its_table_says() -> None:
    profile = parse()
    assert profile.purposes == {SERVER, CLIENT}
    assert profile.max_lifetime == timedelta(days=90)
    assert profile.wildcards
    assert profile.needs_host


def test_post_quantum_keys_are_let_in_only_where_a_profile_says_so() -> None:
    assert not any(profile.post_quantum for profile in PROFILES.values())
    assert not parse().post_quantum
    assert parse(**{"post-quantum": True}).post_quantum


def test_names_and_addresses_outside_a_profile_are_listed() -> None:
    asked = HostNames.of(
        [
            "a.example.org",
            "example.org",
            "evilexample.org",
            "x.other.net",
            "example.org.evil.net",
            "*.example.org",
            "10.1.2.3",
            "11.0.0.1",
            "fd00::1",
            "::1",
            "::ffff:10.0.0.1",
        ]
    )
    assert parse().outside(asked) == (
        "evilexample.org",
        "example.org.evil.net",
        "11.0.0.1",
        "::1",
        "::ffff:a00:1",
    )


def test_max_lifetime_is_the_lifetime_where_it_is_left_out() -> None:
    assert parse(**{"max-lifetime": None}).max_lifetime == timedelta(days=30)


def test_what_is_left_out_grants_nothing() -> None:
    profile = parse(dns=None, ips=None, wildcards=None, **{"needs-host": None})
    assert not profile.wants_hosts
    assert not profile.wildcards
    assert profile.outside(HostNames.of(["a", "::1"])) == ("a", "::1")


@pytest.mark.parametrize(
    "changes",
    [
        {"purposes": None},
        {"purposes": []},
        {"purposes": "clientAuth"},
        {"purposes": ["codeSigning"]},
        {"purposes": [["clientAuth"]]},
        {"purposes": 1},
        {"lifetime": None},
        {"lifetime": "30"},
        {"lifetime": 30},
        {"lifetime": "100d"},
        {"max-lifetime": "0d"},
        {"max-lifetime": "999999999d"},
        {"dns": "all"},
        {"dns": ["a b"]},
        {"dns": ["*.example.org"]},
        {"dns": [1]},
        {"ips": ["10.0.0.1/8"]},
        {"ips": ["x"]},
        {"ips": 10},
        {"wildcards": "yes"},
        {"wildcards": 1},
        {"needs-host": "no"},
        {"ca": True},
        {"Purposes": ["clientAuth"]},
    ],
    ids=str,
)
def test_an_invalid_table_is_refused_naming_file_and_profile(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"ca\.toml: the profile 'gateway' is not valid") as refused:
        parse(**changes)
    assert refused.value.why


@pytest.mark.parametrize("name", ["Gateway", "", "a/b", "a\n", "x" * 33, "1a"])
def test_an_invalid_name_of_a_profile_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        parse_profile(name, GATEWAY, "ca.toml")


@pytest.mark.parametrize("table", [5, "x", [], None])
def test_what_is_no_table_is_refused(table: Any) -> None:
    with pytest.raises(BadInput):
        parse_profile("gateway", table, "ca.toml")


@pytest.mark.parametrize("text", ["[a", "x = ", "\0"])
def test_what_is_no_toml_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not TOML"):
        parse_profiles(text, "ca.toml")


def test_a_profile_that_needs_a_host_must_grant_some() -> None:
    with pytest.raises(BadInput):
        parse(dns="none", ips="none")
