"""How many connections are held at once, in all and for one address; half-open ones give way.

Not here: sockets. A connection is a slot that its owner gives back. Where several processes serve together,
they count together too: that is the tally's business, of which this module has the one for a single process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from types import TracebackType
from typing import Protocol, Self

_IPV6_PREFIX = 64
"""What one customer gets of IPv6, and so what counts as one address (RFC 6177)."""


@lru_cache(maxsize=4096)
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


Plea = Callable[[str], bool]
"""Another process's wish that a half-open connection here give way: tells whether one of a key would do."""


class Tally(Protocol):
    """How many places are taken, by whoever counts together.

    Used as a context manager: what is read and changed in its body is one step for all of them.
    """

    def __enter__(self) -> Self:
        """Begin a step."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""

    def total(self) -> int:
        """All places taken."""

    def half_open(self) -> int:
        """Those whose handshake is not done."""

    def of(self, key: str) -> int:
        """Those of the address ``key``."""

    def take(self, key: str) -> None:
        """One more of ``key``, half-open."""

    def settle(self, key: str) -> None:
        """A half-open one of ``key`` is that no more."""

    def give_back(self, key: str, *, half_open: bool) -> None:
        """One of ``key`` fewer."""

    def plead(self, key: str | None) -> bool:
        """Have another process close a half-open one (of ``key``); False where none has any."""

    def pleas(self) -> tuple[Plea, ...]:
        """What others have pleaded for since the last time."""


class OwnTally:
    """The tally of a process that serves alone."""

    def __init__(self) -> None:
        self._total = 0
        self._half_open = 0
        self._by_address: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nobody else counts."""

    def total(self) -> int:
        """All places taken."""
        return self._total

    def half_open(self) -> int:
        """Those whose handshake is not done."""
        return self._half_open

    def of(self, key: str) -> int:
        """Those of the address ``key``."""
        return self._by_address[key]

    def take(self, key: str) -> None:
        """One more of ``key``, half-open."""
        self._total += 1
        self._half_open += 1
        self._by_address[key] += 1

    def settle(self, key: str) -> None:
        """A half-open one of ``key`` is that no more."""
        self._half_open -= 1

    def give_back(self, key: str, *, half_open: bool) -> None:
        """One of ``key`` fewer."""
        self._total -= 1
        self._half_open -= half_open
        self._by_address[key] -= 1
        if not self._by_address[key]:
            del self._by_address[key]

    def plead(self, key: str | None) -> bool:
        """There is nobody else."""
        return False

    def pleas(self) -> tuple[Plea, ...]:
        """There is nobody else."""
        return ()


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
            self._capacity.settle(self)

    def release(self) -> None:
        """Give the place back; again does nothing."""
        capacity, self._capacity = self._capacity, None
        if capacity is not None:
            capacity.forget(self)


class Capacity:
    """The places of one process's listeners.

    A newcomer takes the place of the longest-waiting half-open connection where one would be too many: a
    real client needs milliseconds to get through, so that a flood of silent ones cannot lock it out. One's
    own give way first, then those of another process that counts in the same tally.
    """

    def __init__(self, caps: Caps, tally: Tally | None = None) -> None:
        self._caps = caps
        self._tally = OwnTally() if tally is None else tally
        self._waiting: dict[Slot, None] = {}

    @property
    def total(self) -> int:
        """Connections held now, by all who count together."""
        with self._tally as tally:
            return tally.total()

    @property
    def half_open(self) -> int:
        """Those of them whose handshake is not done."""
        with self._tally as tally:
            return tally.half_open()

    def admit(self, host: str, evict: Callable[[], None]) -> Slot | None:
        """A place for a connection from ``host``, or None; ``evict`` is called if it must give way."""
        key = address_key(host)
        evicted: list[Slot] = []
        with self._tally as tally:
            self._hear_pleas(tally, evicted)
            slot = self._admit(tally, key, evict, evicted)
        for loser in evicted:
            loser.evict()
        return slot

    def _admit(self, tally: Tally, key: str, evict: Callable[[], None], evicted: list[Slot]) -> Slot | None:
        if tally.of(key) >= self._caps.per_address and not self._make_room(tally, key, evicted):
            return None
        crowded = tally.total() >= self._caps.connections or tally.half_open() >= self._caps.handshakes
        if crowded and not self._make_room(tally, None, evicted):
            return None
        slot = Slot(self, key, evict)
        tally.take(key)
        self._waiting[slot] = None
        return slot

    def _make_room(self, tally: Tally, key: str | None, evicted: list[Slot]) -> bool:
        oldest = next((slot for slot in self._waiting if key is None or slot.key == key), None)
        if oldest is None:
            return tally.plead(key)
        oldest.release()
        evicted.append(oldest)
        return True

    def give_way(self) -> None:
        """Close the half-open connections whose places other processes have pleaded for."""
        evicted: list[Slot] = []
        with self._tally as tally:
            self._hear_pleas(tally, evicted)
        for loser in evicted:
            loser.evict()

    def _hear_pleas(self, tally: Tally, evicted: list[Slot], leaving: Slot | None = None) -> None:
        """Before a half-open connection becomes anything else, so that for each plea there is one that suits.

        One that is ``leaving`` anyway satisfies a plea as well as any.
        """
        for suits in tally.pleas():
            if leaving is not None and suits(leaving.key):
                leaving = None
                continue
            oldest = next(slot for slot in self._waiting if suits(slot.key))
            oldest.release()
            evicted.append(oldest)

    def settle(self, slot: Slot) -> None:
        """Called by the slot whose handshake is done; it may be evicted at this last moment."""
        if slot not in self._waiting:
            return
        evicted: list[Slot] = []
        with self._tally as tally:
            self._hear_pleas(tally, evicted)
            if slot in self._waiting:
                del self._waiting[slot]
                tally.settle(slot.key)
        for loser in evicted:
            loser.evict()

    def forget(self, slot: Slot) -> None:
        """Called by the slot that is given back."""
        evicted: list[Slot] = []
        half_open = slot in self._waiting
        self._waiting.pop(slot, None)
        with self._tally as tally:
            if half_open:
                self._hear_pleas(tally, evicted, leaving=slot)
            tally.give_back(slot.key, half_open=half_open)
        for loser in evicted:
            loser.evict()
