from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import BadInput, KeysteadError, WrongUsage
from keystead.pki.names import (
    LOCAL_TRIO,
    HostNames,
    Identity,
    TrustDomain,
    check_dns_name,
    check_environment,
    check_name,
    check_profile,
    parse_trust_domain_uri,
    slug,
)

NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
LABEL = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")
DOMAIN = TrustDomain("prod.example.internal")

NASTY_ENDS = ("\n", "\r", "\r\n", "\0", " ", "\t", "\u2028", "\u00a0", "/", "\\")


@given(st.text(max_size=70) | st.from_regex(NAME, fullmatch=True))
def test_a_name_is_accepted_if_and_only_if_it_matches_whole_and_is_not_reserved(text: str) -> None:
    fits = NAME.fullmatch(text) is not None and text not in {"ca", "root", "issuing", "crl"}
    try:
        assert check_name(text) == text
    except BadInput:
        assert not fits
    else:
        assert fits


@given(st.text(max_size=40) | st.from_regex(LABEL, fullmatch=True))
def test_environments_and_profiles_are_accepted_if_and_only_if_they_match_whole(text: str) -> None:
    for check in (check_environment, check_profile):
        try:
            assert check(text) == text
        except WrongUsage:
            assert not LABEL.fullmatch(text)
        else:
            assert LABEL.fullmatch(text)


@pytest.mark.parametrize("end", NASTY_ENDS)
def test_a_name_with_an_invisible_end_is_refused(end: str) -> None:
    with pytest.raises(BadInput):
        check_name(f"alice{end}")
    with pytest.raises(WrongUsage):
        check_environment(f"prod{end}")


@pytest.mark.parametrize(
    "text",
    [
        "..",
        ".",
        "../alice",
        "a/b",
        "a\\b",
        "-alice",
        "alice-",
        ".alice",
        "alice.",
        "Alice",
        "älice",
        "аlice",
        "alice\u202eexe",
        "",
        "a" * 64,
        "alice bob",
        "*",
        "~",
        "$HOME",
        "a%2fb",
        "ﬁle",
    ],
)
def test_what_could_leave_a_folder_or_deceive_an_eye_is_no_name(text: str) -> None:
    with pytest.raises(BadInput):
        check_name(text)


@pytest.mark.parametrize(
    "text", ["a", "0", "alice", "web-1", "db.example.org", "a_b", "a" * 63, "ca1", "root-2"]
)
def test_ordinary_names_are_accepted(text: str) -> None:
    assert check_name(text) == text


@pytest.mark.parametrize("text", ["ca", "root", "issuing", "crl"])
def test_names_of_the_cas_own_files_are_reserved(text: str) -> None:
    with pytest.raises(BadInput, match="reserved"):
        check_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "prod",
        "prod.",
        ".prod",
        "prod..x",
        "Prod.x",
        "prod.x\n",
        "prod.x/y",
        "-prod.x",
        "1prod.x",
        "prod.x y",
        "prod." + "a" * 249,
        "prod.é",
        "a" * 33 + ".x",
        "prod.x:1",
        "prod.x@y",
        "prod.x?y",
        "prod.x#",
    ],
)
def test_what_is_not_env_and_domain_is_no_trust_domain(text: str) -> None:
    with pytest.raises(BadInput):
        TrustDomain(text)


def test_a_trust_domain_of_253_octets_is_accepted() -> None:
    assert len(TrustDomain("prod." + "a" * 248).value) == 253


def test_the_first_label_of_a_trust_domain_is_its_environment() -> None:
    assert TrustDomain("prod.example.internal").environment == "prod"


@given(
    st.from_regex(LABEL, fullmatch=True),
    st.from_regex(NAME, fullmatch=True).filter(lambda name: name not in {"ca", "root", "issuing", "crl"}),
)
def test_an_identity_survives_its_uri(profile: str, name: str) -> None:
    identity = Identity(DOMAIN, profile, name)
    assert Identity.parse(identity.uri) == identity
    assert str(identity) == f"{profile}/{name}"


@given(st.text(max_size=80) | st.from_regex(r"spiffe://[a-z.]{1,9}(/[a-z]{0,5}){0,4}", fullmatch=True))
def test_any_text_is_either_refused_or_spells_exactly_the_identity_read_from_it(text: str) -> None:
    try:
        identity = Identity.parse(text)
    except BadInput:
        return
    assert identity.uri == text


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://prod.x/client/alice/",
        "spiffe://prod.x/client/alice/x",
        "spiffe://prod.x//alice",
        "spiffe://prod.x/client",
        "spiffe://prod.x/client/alice?x",
        "spiffe://prod.x/client/alice#x",
        "spiffe://prod.x/client/%61lice",
        "SPIFFE://prod.x/client/alice",
        "spiffe:prod.x/client/alice",
        "https://prod.x/client/alice",
        "spiffe://prod.x/client/../alice",
        "spiffe://prod.x:443/client/alice",
        "spiffe://u@prod.x/client/alice",
        "spiffe://prod.x/client/root",
        "spiffe://prod.x/client/alice\n",
        " spiffe://prod.x/client/alice",
        "spiffe://spiffe://prod.x/client/alice",
    ],
)
def test_a_uri_that_is_nearly_an_identity_is_refused(uri: str) -> None:
    with pytest.raises(BadInput):
        Identity.parse(uri)


@pytest.mark.parametrize("uri", ["prod.x", "spiffe://", "spiffe://prod.x/", "spiffe://prod.x/client/alice"])
def test_only_a_bare_trust_domain_is_read_from_a_cas_uri(uri: str) -> None:
    with pytest.raises(BadInput):
        parse_trust_domain_uri(uri)


@given(st.text(max_size=100))
def test_a_slug_always_makes_a_trust_domain(organization: str) -> None:
    TrustDomain.of("prod", f"{slug(organization)}.internal")


def test_a_slug_is_readable() -> None:
    assert slug("Ärzte & Co. KG") == "rzte-co-kg"


@given(st.lists(st.sampled_from([*LOCAL_TRIO, "db.example.org", "10.0.0.7"])))
def test_host_names_are_sorted_unique_and_survive_their_texts(texts: list[str]) -> None:
    names = HostNames.of(texts)
    assert HostNames.of(names.texts) == names
    assert set(names.texts) == set(texts)
    assert bool(names) == bool(texts)


@pytest.mark.parametrize("one", LOCAL_TRIO)
def test_one_of_the_local_trio_brings_the_other_two(one: str) -> None:
    assert set(HostNames.of([one, "db"]).with_local_trio().texts) == {*LOCAL_TRIO, "db"}


def test_without_one_of_the_local_trio_none_is_added() -> None:
    assert HostNames.of(["db"]).with_local_trio().texts == ("db",)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("DNS:Db.Example.ORG.", "db.example.org"),
        ("IP:10.0.0.7", "10.0.0.7"),
        ("[::1]", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("*.example.org", "*.example.org"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
    ],
)
def test_a_host_name_may_be_spelled_as_people_and_openssl_do(typed: str, meant: str) -> None:
    assert HostNames.of([typed]).texts == (meant,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a..b",
        "-a",
        "a-",
        "münchen.de",
        "a b",
        "a/b",
        "*",
        "*.",
        "*.org.*",
        "a.*.b",
        "**.a",
        "*a.b",
        "1.2.3",
        "1.2.3.4.5",
        "999.1.1.1",
        "10.0.0.0/8",
        "a_b",
        "a" * 64,
        "a." * 127 + "a",
        "http://a",
        "a:1",
        "a\x00b",
        "a\nb",
        "fe80::1%eth0",
        "fe80::1%\x1b[31m",
        "0x7f.1",
    ],
)
def test_what_is_neither_a_dns_name_nor_an_address_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        HostNames.of([text])


def test_a_wildcard_needs_two_labels_below_it() -> None:
    with pytest.raises(BadInput):
        check_dns_name("*.org")


@given(st.text(max_size=40))
def test_no_text_makes_host_names_fail_otherwise_than_by_refusing(text: str) -> None:
    try:
        names = HostNames.of([text])
    except KeysteadError:
        return
    assert all(known.isascii() and known.isprintable() for known in names.texts)


def test_fewer_host_names_are_within_more() -> None:
    few, many = HostNames.of(["a", "::1"]), HostNames.of(["a", "b", "::1"])
    assert few <= many
    assert not many <= few
    assert many.minus(few) == ("b",)
