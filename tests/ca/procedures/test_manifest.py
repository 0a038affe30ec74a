"""A manifest has one spelling: what was encoded is decoded, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.ca.procedures.manifest import LIMITS, REQUIRED, File, Head, Manifest
from keystead.errors import BadInput, KeysteadError, Unavailable
from keystead.pki.names import TrustDomain

DIGEST = st.binary(min_size=32, max_size=32).map(bytes.hex)
MOMENT = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)
NAMES = st.sets(st.sampled_from(sorted(set(LIMITS) - REQUIRED))).map(
    lambda some: [name for name in LIMITS if name in REQUIRED | some]
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Any that may be made."""
    domain = TrustDomain(f"{draw(st.sampled_from(['dev', 'prod']))}.example.internal")
    count = st.integers(0, 10**9)
    return Manifest(
        backup=draw(st.binary(min_size=16, max_size=16)).hex(),
        made=draw(MOMENT),
        by="keystead 0.1.0",
        environment=domain.environment,
        trust_domain=domain,
        root=draw(DIGEST),
        certificates=draw(count),
        revocations=draw(count),
        audit=Head(draw(count), draw(DIGEST), draw(MOMENT)),
        files=tuple(File(name, draw(st.integers(0, LIMITS[name])), draw(DIGEST)) for name in draw(NAMES)),
    )


SAMPLE = Manifest(
    backup="0" * 32,
    made=datetime(2026, 11, 24, tzinfo=UTC),
    by="keystead 0.1.0",
    environment="prod",
    trust_domain=TrustDomain("prod.example.internal"),
    root="0" * 64,
    certificates=1,
    revocations=0,
    audit=Head(1, "0" * 64, datetime(2026, 11, 24, tzinfo=UTC)),
    files=tuple(File(name, 1, "0" * 64) for name in LIMITS if name in REQUIRED),
)


@given(manifests())
def test_a_manifest_survives_its_spelling(manifest: Manifest) -> None:
    assert Manifest.decode(manifest.encode(), "it") == manifest


@given(st.binary(max_size=300))
def test_whatever_else_is_there_is_an_error_of_the_house(data: bytes) -> None:
    with pytest.raises(KeysteadError, match="it "):
        Manifest.decode(data, "it")


@given(st.data())
def test_a_manifest_with_an_octet_changed_is_none_or_another(data: st.DataObject) -> None:
    encoded = bytearray(SAMPLE.encode())
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert Manifest.decode(bytes(encoded), "it") != SAMPLE
    except KeysteadError as error:
        assert "it" in error.what


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    told = json.loads(SAMPLE.encode())
    change(told)
    return json.dumps(told, indent=1).encode() + b"\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.pop("audit"),
        lambda told: told.update(more=1),
        lambda told: told.update(environment="staging"),
        lambda told: told.update(certificates=-1),
        lambda told: told.update(certificates=True),
        lambda told: told.update(root="A" * 64),
        lambda told: told.update(made="yesterday"),
        lambda told: told.update(by="\x1b[2J"),
        lambda told: told["files"].pop(),
        lambda told: told["files"].reverse(),
        lambda told: told["files"].append(told["files"][0]),
        lambda told: told["files"][0].update(name="../../etc/passwd"),
        lambda told: told["files"][0].update(name="root.key.age"),
        lambda told: told["files"][0].update(size=10**9),
    ],
)
def test_a_manifest_that_keystead_never_wrote_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(BadInput, match="manifest"):
        Manifest.decode(changed(change), "it")


def test_a_newer_format_is_told_apart_from_damage() -> None:
    with pytest.raises(Unavailable, match="another keystead"):
        Manifest.decode(changed(lambda told: told.update(format="keystead-backup/2")), "it")
