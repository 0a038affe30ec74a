from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.ca.configuration import (
    check_organization,
    check_public_url,
    decode,
    encode,
    max_organization,
)
from keystead.errors import BadInput, KeysteadError, NotThere, WrongUsage
from keystead.pki.keys import KeyType
from tests.ca.office import configuration

GOOD = encode(configuration()).decode()


@given(
    st.text(min_size=1, max_size=max_organization("dev")).filter(
        lambda text: text.strip() and text.isprintable()
    ),
    st.sampled_from(list(KeyType)),
    st.sampled_from([None, "http://pki.example.org", "http://[::1]:8080/ca"]),
)
def test_a_configuration_survives_its_file(org: str, key_type: KeyType, url: str | None) -> None:
    made = configuration(organization=org, key_type=key_type, public_url=url)
    assert decode(encode(made), "ca.toml") == made


def test_the_file_shows_how_a_profile_is_added() -> None:
    with_example = "\n".join(line.removeprefix("# ") for line in GOOD.splitlines()[6:])
    added = decode((GOOD + with_example).encode(), "ca.toml")
    assert set(added.profiles) == {"client", "server", "operator", "gateway"}


def test_an_own_profile_replaces_the_shipped_one_of_its_name() -> None:
    own = '[profiles.client]\npurposes = ["clientAuth"]\nlifetime = "7d"\n'
    assert decode((GOOD + own).encode(), "ca.toml").profile("client").lifetime.days == 7


def test_a_ca_of_post_quantum_keys_grants_them_and_any_other_where_a_profile_says_so() -> None:
    assert configuration(key_type=KeyType.ML_DSA_65).profile("client").post_quantum
    assert not configuration(key_type=KeyType.P256).profile("client").post_quantum
    own = '[profiles.trial]\npurposes = ["clientAuth"]\nlifetime = "7d"\npost-quantum = true\n'
    config = decode((GOOD + own).encode(), "ca.toml")
    assert config.profile("trial").post_quantum
    assert not config.profile("client").post_quantum


def test_a_profile_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(NotThere, match="has no profile 'gateway'") as refused:
        configuration().profile("gateway")
    assert "client, server, operator" in refused.value.why


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "[",
        GOOD.replace("organization = ", "organisation = "),
        GOOD.replace('"Example"', '""'),
        GOOD.replace('"Example"', '"' + "x" * 65 + '"'),
        GOOD.replace('"Example"', "7"),
        GOOD.replace('"dev.example.internal"', '"dev"'),
        GOOD.replace('"dev.example.internal"', "7"),
        GOOD.replace('"p256"', '"p521"'),
        GOOD + 'public-url = "https://example.org"\n',
        GOOD + "profiles = 5\n",
        GOOD + "[profiles]\nx = 5\n",
        GOOD + '[profiles.x]\npurposes = []\nlifetime = "1d"\n',
        GOOD + '[profiles.X]\npurposes = ["clientAuth"]\nlifetime = "1d"\n',
        GOOD + "surprise = 1\n",
    ],
)
def test_a_broken_file_is_refused_by_its_name(broken: str) -> None:
    with pytest.raises(BadInput, match=r"ca\.toml"):
        decode(broken.encode(), "ca.toml")


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(BadInput):
        decode(b"\xff\xfe", "ca.toml")


@pytest.mark.parametrize(
    "text", ["", " ", "a\nb", "a\x1b[31m", "a\u202eb", "x" * (max_organization("prod") + 1)]
)
def test_what_cannot_stand_in_a_subject_is_no_organization(text: str) -> None:
    with pytest.raises(WrongUsage):
        check_organization(text, "prod")


@pytest.mark.parametrize(
    "text",
    [
        "https://pki.example.org",
        "http://",
        "pki.example.org",
        "ftp://a.b",
        "http://user:secret@a.b",
        "http://user@a.b",
        "http://a.b/?q",
        "http://a.b/#f",
        "http://[x",
        "http://a.b:99999",
        "http://a b",
        "http://münchen.de",
        "http://a.b/ü",
        "http://a.b/\n",
        "http://a\nb.c/",
        "http://a.b/" + "x" * 2_000,
    ],
)
def test_what_certificates_cannot_name_is_no_public_url(text: str) -> None:
    with pytest.raises(WrongUsage):
        check_public_url(text)


@pytest.mark.parametrize("text", ["http://pki.example.org/", "http://a:8080", "http://10.0.0.1/ca"])
def test_a_plain_http_url_is_taken_without_its_last_slash(text: str) -> None:
    assert check_public_url(text) == text.rstrip("/")


@given(st.text(max_size=60) | st.text(max_size=30).map("http://".__add__))
def test_no_text_makes_the_checks_fail_otherwise_than_by_refusing(text: str) -> None:
    for check in (check_public_url, lambda text: check_organization(text, "prod")):
        try:
            assert check(text).isprintable()
        except KeysteadError:
            continue
