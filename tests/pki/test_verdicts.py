from __future__ import annotations

import pytest

from keystead.pki.verdicts import UNKNOWN, VERDICTS, verdict


@pytest.mark.parametrize(
    ("errno", "code"),
    [
        (2, "unknown-ca"),
        (3, "crl-missing"),
        (7, "bad-signature"),
        (9, "not-yet-valid"),
        (10, "expired"),
        (12, "crl-stale"),
        (20, "unknown-ca"),
        (23, "revoked"),
        (26, "wrong-purpose"),
        (62, "host-mismatch"),
        (64, "ip-mismatch"),
        (66, "weak"),
    ],
)
def test_openssls_numbers_have_their_words(errno: int, code: str) -> None:
    assert verdict(errno).code == code


def test_a_number_without_a_word_is_told_as_unverifiable() -> None:
    assert verdict(9_999) is UNKNOWN


def test_no_number_is_a_verdict_of_ok() -> None:
    assert 0 not in VERDICTS


def test_codes_are_slugs_and_sentences_follow_the_certificate() -> None:
    for said in VERDICTS.values():
        assert said.code.replace("-", "").isalpha()
        assert said.sentence[0].islower()
        assert not said.sentence.endswith(".")
