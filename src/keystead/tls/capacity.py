"""How many connections are held at once, in all and for one address; half-open ones give way.

Not here: sockets. A connection is a slot that its owner gives back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

_IPV6_PREFIX = 64
"""What one customer gets of IPv6, and so what counts as one address (RFC 6177)."""


def address_key(host: str) -> str:
    """What ``host`` (numeric) is counted as: an IPv4 address, mapped or not, or an IPv6 /64."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> _IPV6_PREFIX << _IPV6_PREFIX)}/{_IPV6_PREFIX}"


@dataclass(frozen=True, slots=True)
class Caps:
    """Connections at once: ``handshakes`` of them may be half-open."""

    connections: int = 1_000
    per_address: int = 100
    handshakes: int = 500


class Slot:
    """One connection's place, half-open until `establish`."""

    __slots__ = ("_capacity", "evict", "key")

    def __init__(self, capacity: Capacity, key: str, evict: Callable[[], None]) -> None:
        self._capacity: Capacity | None = capacity
        self.key = key
        self.evict = evict

    def establish(self) -> None:
        """The handshake is done: this connection gives way to no newcomer any more."""
        if self._capacity is not None:
            self._capacity.waiting.pop(self, None)

    def release(self) -> None:
        """Give the place back; again does nothing."""
        capacity, self._capacity = self._capacity, None
        if capacity is not None:
            capacity.forget(self)


class Capacity:
    """The places of one listener.

    A newcomer takes the place of the longest-waiting half-open connection where one would be too many: a
    real client needs milliseconds to get through, so that a flood of silent ones cannot lock it out.
    """

    def __init__(self, caps: Caps) -> None:
        self._caps = caps
        self._total = 0
        self._by_address: Counter[str] = Counter()
        self.waiting: dict[Slot, None] = {}

    @property
    def total(self) -> int:
        """Connections held now."""
        return self._total

    def admit(self, host: str, evict: Callable[[], None]) -> Slot | None:
        """A place for a connection from ``host``, or None; ``evict`` is called if it must give way."""
        key = address_key(host)
        if self._by_address[key] >= self._caps.per_address and not self._evict_one(key):
            return None
        crowded = self._total >= self._caps.connections or len(self.waiting) >= self._caps.handshakes
        if crowded and not self._evict_one(None):
            return None
        slot = Slot(self, key, evict)
        self._total += 1
        self._by_address[key] += 1
        self.waiting[slot] = None
        return slot

    def forget(self, slot: Slot) -> None:
        """Called by the slot that is given back."""
        self.waiting.pop(slot, None)
        self._total -= 1
        self._by_address[slot.key] -= 1
        if not self._by_address[slot.key]:
            del self._by_address[slot.key]

    def _evict_one(self, key: str | None) -> bool:
        oldest = next((slot for slot in self.waiting if key is None or slot.key == key), None)
        if oldest is None:
            return False
        oldest.release()
        oldest.evict()
        return True
