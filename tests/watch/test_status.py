from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.watch.expiry import Expiry, Kind
from keystead.watch.status import assess, mend

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FORTNIGHT = timedelta(days=14)


def ending(days: float, kind: Kind = Kind.SUBSCRIBER, environment: str = "") -> Expiry:
    ends = NOW + timedelta(days=days)
    return Expiry(Path("certs/alice.crt"), kind, "alice", ends, environment, anew="ask anew")


@pytest.mark.parametrize(("days", "due"), [(-1, True), (0, True), (13.9, True), (14, True), (14.1, False)])
def test_due_is_what_ends_within_the_span(days: float, due: bool) -> None:
    assert bool(assess([ending(days)], NOW, FORTNIGHT).due) is due


@pytest.mark.parametrize(
    ("kind", "noticed"),
    [(Kind.CA, True), (Kind.ROOT_LIST, True), (Kind.SUBSCRIBER, False), (Kind.ISSUING_LIST, False)],
)
def test_what_takes_the_root_key_is_noticed_60_days_before(kind: Kind, noticed: bool) -> None:
    state = assess([ending(59, kind)], NOW, FORTNIGHT)
    assert bool(state.noticed) is noticed
    assert state.is_well
    assert not assess([ending(61, kind)], NOW, FORTNIGHT).noticed


def test_what_is_due_is_not_noticed_besides() -> None:
    state = assess([ending(5, Kind.CA)], NOW, FORTNIGHT)
    assert state.due
    assert not state.noticed


def test_a_certificate_is_renewed_before_its_end_and_asked_for_anew_after() -> None:
    assert mend(ending(5), NOW) == ("here", "keystead csr alice --renew --dir certs")
    assert mend(ending(-5), NOW) == ("here", "ask anew")


def test_a_list_is_made_where_the_ca_is() -> None:
    assert mend(ending(5, Kind.ISSUING_LIST, "prod"), NOW) == ("here", "keystead ca crl --env prod")
    where, typed = mend(replace(ending(5, Kind.ISSUING_LIST), elsewhere="prod"), NOW)
    assert where == "on the CA's machine"
    assert typed.startswith("keystead ca crl --env prod --out crl.pem ")


@given(st.lists(st.floats(-1000, 1000)))
def test_all_is_told_in_the_order_of_its_end(days: list[float]) -> None:
    state = assess(map(ending, days), NOW, FORTNIGHT)
    assert [entry.ends for entry in state.expiries] == sorted(ending(d).ends for d in days)
    assert len(state.due) == sum(ending(d).ends <= NOW + FORTNIGHT for d in days)
