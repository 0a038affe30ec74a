"""Places, and who gives way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.tls.capacity import Capacity, Caps, Slot, address_key

KEYS = {
    "192.0.2.1": "192.0.2.1",
    "::ffff:192.0.2.1": "192.0.2.1",
    "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
    "2001:db8:1:2:ffff::1": "2001:db8:1:2::/64",
    "fe80::1%eth0": "fe80::/64",
    "a unix socket": "a unix socket",
}


@pytest.mark.parametrize("host", KEYS)
def test_an_address_counts_as(host: str) -> None:
    assert address_key(host) == KEYS[host]


class Evicted(list[str]):
    def admit(self, capacity: Capacity, host: str, name: str = "") -> Slot | None:
        return capacity.admit(host, lambda: self.append(name or host))


def test_an_address_has_its_share() -> None:
    capacity, evicted = Capacity(Caps(per_address=2)), Evicted()
    slots = [evicted.admit(capacity, "192.0.2.1") for _ in range(2)]
    for slot in slots:
        assert slot is not None
        slot.establish()
    assert evicted.admit(capacity, "192.0.2.1") is None
    assert evicted.admit(capacity, "192.0.2.2") is not None
    assert slots[0] is not None
    slots[0].release()
    assert evicted.admit(capacity, "192.0.2.1") is not None
    assert not evicted


def test_the_oldest_half_open_connection_gives_way() -> None:
    capacity, evicted = Capacity(Caps(handshakes=2)), Evicted()
    for name in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        assert evicted.admit(capacity, name) is not None
    assert evicted == ["192.0.2.1"]
    assert capacity.total == 2


def test_of_a_full_address_the_oldest_half_open_one_gives_way_not_another_addresss() -> None:
    capacity, evicted = Capacity(Caps(per_address=1)), Evicted()
    evicted.admit(capacity, "192.0.2.9", "bystander")
    evicted.admit(capacity, "192.0.2.1", "first")
    assert evicted.admit(capacity, "192.0.2.1", "second") is not None
    assert evicted == ["first"]


def test_an_established_connection_never_gives_way() -> None:
    capacity, evicted = Capacity(Caps(connections=1)), Evicted()
    slot = evicted.admit(capacity, "192.0.2.1")
    assert slot is not None
    slot.establish()
    assert evicted.admit(capacity, "192.0.2.2") is None
    assert not evicted


hosts = st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"])


@given(st.lists(st.tuples(hosts, st.sampled_from(["come", "establish", "go"])), max_size=60))
def test_the_counts_hold_whatever_comes_and_goes(steps: list[tuple[str, str]]) -> None:
    caps = Caps(connections=5, per_address=3, handshakes=2)
    capacity, held = Capacity(caps), list[Slot]()
    for host, step in steps:
        if step == "come":
            gone: list[Slot] = []
            slot = capacity.admit(host, lambda: None)
            if slot is not None:
                held.append(slot)
            held = [s for s in held if s not in gone]
        elif held and step == "establish":
            held[0].establish()
        elif held:
            held.pop().release()
        assert capacity.total <= caps.connections
        assert capacity.half_open <= caps.handshakes
    for slot in held:
        slot.release()
        slot.release()  # again does nothing
    assert capacity.total == 0
