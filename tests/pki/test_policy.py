"""The rules of signing, one test a rule: the default request is granted, each case changes one thing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keystead.errors import Refused, WrongUsage
from keystead.pki import csr
from keystead.pki.facts import Wishes
from keystead.pki.keys import KeyType, generate
from keystead.pki.names import HostNames
from keystead.pki.profiles import parse_profile
from tests.pki.makers import (
    CLIENT,
    DAY,
    PROFILES,
    SERVER,
    decide,
    facts,
    granted,
    hand_made,
    identity,
    live,
    mend,
    recorded,
    refusals,
    request,
)

# an ordinary request


def test_an_ordinary_client_is_granted_what_the_profile_says() -> None:
    approved = granted(request())
    assert approved.identity == identity()
    assert approved.identity.uri == "spiffe://prod.example.internal/client/alice"
    assert approved.grant.lifetime == 30 * DAY
    assert approved.grant.host_names == HostNames()
    assert (approved.grant.renews, approved.grant.replaces) == (None, None)
    assert not approved.grant.capped


def test_a_csr_without_any_extension_is_a_clients() -> None:
    assert granted(csr.parse(hand_made(), "x")).identity.profile == "client"


def test_a_server_is_granted_the_hosts_that_it_asks_for() -> None:
    asked = request("web", hosts=["localhost", "::1"], purposes=[SERVER])
    approved = granted(asked, Wishes(profile="server"))
    assert approved.grant.host_names.texts == ("localhost", "::1")
    assert approved.grant.lifetime == 90 * DAY


# keys


def test_a_post_quantum_key_is_granted_only_where_the_profile_says_so() -> None:
    asked = request(signer=generate(KeyType.ML_DSA_65))
    assert refusals(asked) == ["experimental-key"]
    assert "post-quantum = true" in mend(asked)
    granted(asked, profile=replace(PROFILES["client"], post_quantum=True))


# who


def test_the_name_is_the_csrs_common_name_unless_the_operator_names_another() -> None:
    assert granted(request("alice")).identity.name == "alice"
    assert granted(request("alice"), Wishes(name="bob")).identity.name == "bob"


@pytest.mark.parametrize(
    "name", ["../alice", "Alice", "alice\n", "root", "a" * 64, "älice", "\x1b[31malice", " "]
)
def test_a_common_name_that_is_no_name_is_refused(name: str) -> None:
    asked = csr.parse(hand_made(subject=[(NameOID.COMMON_NAME, name)]), "x")
    assert refusals(asked) == ["bad-name"]


def test_a_csr_without_a_single_common_name_is_refused_naming_the_flag() -> None:
    asked = csr.parse(hand_made(subject=[]), "x")
    assert refusals(asked) == ["no-name"]
    assert "--name" in mend(asked)


def test_a_csr_without_a_common_name_is_granted_under_the_operators_name() -> None:
    assert granted(csr.parse(hand_made(subject=[]), "x"), Wishes(name="alice")).identity.name == "alice"


# the key


def test_a_csr_that_its_key_did_not_sign_is_refused() -> None:
    assert refusals(replace(request(), proves_possession=False)) == ["no-possession"]


def test_a_weak_key_is_refused() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    assert refusals(request(signer=weak)) == ["weak-key"]


def test_a_compromised_key_is_refused_for_ever() -> None:
    known = facts(compromised=True)
    assert refusals(request(), Wishes(may_reissue=True, may_replace=True), known) == ["compromised-key"]


def test_a_key_of_another_environment_is_refused_naming_both() -> None:
    with pytest.raises(Refused) as refused:
        decide(request(), known=facts(claimed_by="dev"))
    (violation,) = refused.value.violations
    assert violation.code == "foreign-key"
    assert "'dev'" in violation.what
    assert "'prod'" in violation.what


def test_a_key_that_this_environment_holds_is_no_foreign_one() -> None:
    granted(request(), known=facts(claimed_by="prod"))


def test_the_expected_fingerprint_is_demanded() -> None:
    asked = request()
    granted(asked, Wishes(expect=str(asked.key_fingerprint)))
    granted(asked, Wishes(expect=asked.key_fingerprint.hex))
    assert refusals(asked, Wishes(expect="0" * 32)) == ["unexpected-key"]


def test_less_than_the_shown_fingerprint_is_wrong_usage() -> None:
    asked = request()
    with pytest.raises(WrongUsage):
        decide(asked, Wishes(expect=asked.key_fingerprint.hex[:31]))


# what it asks for


def test_ca_true_is_refused() -> None:
    asked = csr.parse(hand_made(x509.BasicConstraints(ca=True, path_length=0)), "x")
    assert refusals(asked) == ["wants-ca"]


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://prod.example.internal/operator/alice",
        "spiffe://prod.example.internal/client/bob",
        "spiffe://dev.example.internal/client/alice",
        "spiffe://prod.example.internal/client/alice/",
        "https://example.org",
        "spiffe://prod.example.internal",
    ],
)
def test_a_foreign_uri_san_is_refused(uri: str) -> None:
    san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
    assert refusals(csr.parse(hand_made(san), "x")) == ["foreign-identity"]


def test_ones_own_uri_san_is_no_foreign_one() -> None:
    san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity().uri)])
    granted(csr.parse(hand_made(san), "x"))


def test_in_a_script_a_server_csr_is_refused_naming_the_flag() -> None:
    asked = request("web", hosts=["web"], purposes=[SERVER])
    assert refusals(asked) == ["wrong-purpose"]
    assert "--profile server" in mend(asked)


@pytest.mark.parametrize(
    "purpose",
    [
        SERVER,
        ExtendedKeyUsageOID.CODE_SIGNING,
        ExtendedKeyUsageOID.OCSP_SIGNING,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        x509.ObjectIdentifier("1.2.3.4"),
    ],
)
def test_an_extended_key_usage_outside_the_profile_is_refused(purpose: x509.ObjectIdentifier) -> None:
    assert refusals(request(purposes=[CLIENT, purpose])) == ["wrong-purpose"]


def test_each_foreign_purpose_is_a_violation_of_its_own() -> None:
    asked = request(purposes=[ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.TIME_STAMPING])
    assert refusals(asked) == ["wrong-purpose", "wrong-purpose"]


def test_other_subject_fields_and_extensions_are_left_out_and_listed() -> None:
    subject = [(NameOID.COMMON_NAME, "alice"), (NameOID.ORGANIZATION_NAME, "Evil Corp")]
    asked = csr.parse(hand_made(x509.OCSPNoCheck(), subject=subject), "x")
    assert granted(asked).grant.left_out == ("O=Evil Corp", "extension OCSPNoCheck")


def test_a_clients_host_names_are_left_out_and_listed() -> None:
    approved = granted(request(hosts=["db.example.org", "10.0.0.7"]))
    assert approved.grant.host_names == HostNames()
    assert approved.grant.left_out == ("SAN db.example.org", "SAN 10.0.0.7")


def test_hosts_that_the_operator_names_for_a_client_are_refused() -> None:
    assert refusals(request(), Wishes(host_names=HostNames.of(["a"]))) == ["bad-san"]


def test_a_server_without_any_host_is_refused() -> None:
    asked = request("web", purposes=[SERVER])
    assert refusals(asked, Wishes(profile="server")) == ["no-san"]


def test_a_common_name_is_no_host_name() -> None:
    assert refusals(request("web.example.org", purposes=[SERVER]), Wishes(profile="server")) == ["no-san"]


def test_a_wildcard_is_refused_where_the_profile_has_none() -> None:
    asked = request("web", hosts=["*.example.org"], purposes=[SERVER])
    assert refusals(asked, Wishes(profile="server")) == ["wildcard"]


def test_the_operator_cannot_grant_a_wildcard_that_the_profile_has_not() -> None:
    asked = request("web", hosts=["a"], purposes=[SERVER])
    wishes = Wishes(profile="server", host_names=HostNames.of(["*.example.org"]))
    assert refusals(asked, wishes) == ["wildcard"]


def test_a_wildcard_is_granted_where_the_profile_has_them() -> None:
    asked = request("web", hosts=["*.example.org"], purposes=[SERVER])
    granted(asked, Wishes(profile="server"), profile=replace(PROFILES["server"], wildcards=True))


def test_a_san_that_is_no_host_name_is_refused_for_a_server() -> None:
    san = x509.SubjectAlternativeName([x509.DNSName("a b"), x509.DNSName("web")])
    asked = csr.parse(hand_made(san), "x")
    assert refusals(asked, Wishes(profile="server")) == ["bad-san"]
    granted(asked, Wishes(profile="server", host_names=HostNames.of(["web"])))


def test_hosts_outside_the_profile_are_refused_in_one_violation() -> None:
    table = {"purposes": ["serverAuth"], "lifetime": "1d", "dns": ["example.org"], "ips": ["10.0.0.0/8"]}
    inner = parse_profile("server", table, "ca.toml")
    asked = request("web", hosts=["web.example.org", "evil.net", "8.8.8.8"], purposes=[SERVER])
    assert refusals(asked, Wishes(profile="server"), profile=inner) == ["bad-san"]


def test_the_operators_hosts_replace_those_of_the_csr_which_are_listed() -> None:
    asked = request("web", hosts=["old"], purposes=[SERVER])
    approved = granted(asked, Wishes(profile="server", host_names=HostNames.of(["new"])))
    assert approved.grant.host_names.texts == ("new",)
    assert approved.grant.left_out == ("SAN old",)


# lifetimes


@pytest.mark.parametrize(
    ("wished", "given_", "capped"),
    [
        (None, 30 * DAY, False),
        (2 * DAY, 2 * DAY, False),
        (90 * DAY, 90 * DAY, False),
        (91 * DAY, 90 * DAY, True),
    ],
)
def test_a_lifetime_is_capped_by_the_profile(
    wished: timedelta | None, given_: timedelta, capped: bool
) -> None:
    approved = granted(request(), Wishes(lifetime=wished))
    assert (approved.grant.lifetime, approved.grant.capped) == (given_, capped)


# all at once


def test_all_violations_are_told_at_once_each_with_its_mend() -> None:
    san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("https://evil.net")])
    asked = csr.parse(
        hand_made(
            x509.BasicConstraints(ca=True, path_length=None),
            x509.ExtendedKeyUsage([SERVER]),
            san,
            signer=rsa.generate_private_key(65537, 1024),
        ),
        "x",
    )
    asked = replace(asked, proves_possession=False)
    known = facts(compromised=True, claimed_by="dev", live=live(recorded(key_label="bob")))
    assert refusals(asked, Wishes(expect="0" * 32), known) == [
        "no-possession",
        "weak-key",
        "unexpected-key",
        "wants-ca",
        "foreign-identity",
        "wrong-purpose",
        "compromised-key",
        "foreign-key",
        "live-key",
    ]
