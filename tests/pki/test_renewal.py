from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import BadInput
from keystead.pki.keys import KeyType
from keystead.pki.names import TrustDomain
from keystead.pki.renewal import RenewalProof, decode, prove
from tests.pki.makers import DOMAIN, key

SERIAL = "5e41a1"
OLD, NEW, OTHER = key("old"), key("new"), key("other")
PROOF = prove(OLD, DOMAIN, SERIAL, NEW.public_key())


@pytest.mark.parametrize("key_type", KeyType)
def test_the_old_key_of_any_type_vouches_for_the_new_one(key_type: KeyType) -> None:
    old = key(f"old {key_type}", key_type)
    proof = prove(old, DOMAIN, SERIAL, NEW.public_key())
    assert proof.is_by(old.public_key(), DOMAIN, NEW.public_key())


def test_a_proof_of_another_key_is_none() -> None:
    assert not PROOF.is_by(OTHER.public_key(), DOMAIN, NEW.public_key())


def test_a_proof_is_bound_to_the_trust_domain_that_was_signed_whatever_it_says() -> None:
    dev = TrustDomain("dev.example.internal")
    assert not PROOF.is_by(OLD.public_key(), dev, NEW.public_key())
    assert not RenewalProof(dev, SERIAL, PROOF.signature).is_by(OLD.public_key(), dev, NEW.public_key())


def test_a_proof_is_bound_to_the_serial() -> None:
    moved = RenewalProof(DOMAIN, "5e41a2", PROOF.signature)
    assert not moved.is_by(OLD.public_key(), DOMAIN, NEW.public_key())


def test_a_proof_is_bound_to_the_new_key() -> None:
    assert not PROOF.is_by(OLD.public_key(), DOMAIN, OTHER.public_key())


def test_domain_and_serial_cannot_be_shifted_against_each_other() -> None:
    long = prove(OLD, TrustDomain("prod.ab"), "cd", NEW.public_key())
    shifted = RenewalProof(TrustDomain("prod.a"), "bcd", long.signature)
    assert not shifted.is_by(OLD.public_key(), TrustDomain("prod.a"), NEW.public_key())


def test_a_proof_survives_its_encoding() -> None:
    assert decode(PROOF.encode()) == PROOF


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        decode(data)


@given(st.integers(0, 255), st.binary(min_size=1, max_size=1))
def test_a_changed_proof_is_refused_or_vouches_for_nothing(place: int, other: bytes) -> None:
    text = PROOF.encode()
    place %= len(text)
    changed = text[:place] + other + text[place + 1 :]
    try:
        proof = decode(changed)
    except BadInput:
        return
    assert proof == PROOF or not proof.is_by(OLD.public_key(), DOMAIN, NEW.public_key())
