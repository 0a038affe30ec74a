"""Places that workers count together: no more than one alone would give, and those of the dead come free."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.tls.capacity import Capacity, Caps, Slot
from keystead.web.places import SharedTally
from keystead.web.shared import Memory

# The children use no thread of their parent's.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

WORKERS = 3
HOSTS = [f"192.0.2.{number}" for number in range(1, 5)]


class Crew:
    """The capacities of several workers, in one process."""

    def __init__(self, caps: Caps) -> None:
        self.memory = Memory.create(WORKERS)
        self.wakes = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(WORKERS)]
        self.workers = [
            Capacity(caps, SharedTally(self.memory, number, self.wakes)) for number in range(WORKERS)
        ]
        self.evicted: list[str] = []

    def close(self) -> None:
        for descriptor in (self.memory.descriptor, *self.wakes):
            os.close(descriptor)

    def admit(self, worker: int, host: str, name: str = "") -> Slot | None:
        return self.workers[worker].admit(host, lambda: self.evicted.append(name or host))

    def hear(self) -> None:
        """What each worker's loop does when it is woken, until nobody is."""
        while woken := [number for number in range(WORKERS) if self._was_woken(number)]:
            for number in woken:
                self.workers[number].give_way()

    def _was_woken(self, worker: int) -> bool:
        try:
            return os.eventfd_read(self.wakes[worker]) > 0
        except BlockingIOError:
            return False


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def crew_of(closing: ExitStack, **caps: int) -> Crew:
    crew = Crew(Caps(**caps))
    closing.callback(crew.close)
    return crew


def established(crew: Crew, worker: int, host: str) -> Slot:
    slot = crew.admit(worker, host)
    assert slot is not None
    slot.establish()
    return slot


def test_an_address_has_its_share_over_all_workers(closing: ExitStack) -> None:
    crew = crew_of(closing, per_address=2)
    slots = [established(crew, worker, HOSTS[0]) for worker in (0, 1)]
    assert crew.admit(2, HOSTS[0]) is None
    assert crew.admit(2, HOSTS[1]) is not None
    slots[0].release()
    assert crew.admit(2, HOSTS[0]) is not None


def test_the_connections_in_all_are_bounded_over_all_workers(closing: ExitStack) -> None:
    crew = crew_of(closing, connections=3)
    for worker, host in enumerate(HOSTS[:3]):
        established(crew, worker, host)
    assert crew.admit(0, HOSTS[3]) is None
    assert crew.workers[0].total == 3


def test_a_half_open_one_of_another_worker_gives_way(closing: ExitStack) -> None:
    crew = crew_of(closing, connections=2)
    crew.admit(0, HOSTS[0], "first")
    crew.admit(0, HOSTS[1], "second")
    assert crew.admit(1, HOSTS[2]) is not None
    assert crew.workers[1].total == 2  # the place of the first is given back, as good as
    crew.hear()
    assert crew.evicted == ["first"]
    assert crew.workers[1].total == 2


def test_of_a_full_address_another_worker_s_half_open_one_gives_way(closing: ExitStack) -> None:
    crew = crew_of(closing, per_address=1)
    crew.admit(0, HOSTS[0], "bystander")
    crew.admit(0, HOSTS[1], "flood")
    assert crew.admit(2, HOSTS[1]) is not None
    crew.hear()
    assert crew.evicted == ["flood"]


def test_who_was_to_give_way_does_so_though_its_handshake_is_done(closing: ExitStack) -> None:
    crew = crew_of(closing, per_address=2)
    slot = crew.admit(0, HOSTS[0], "slow")
    established(crew, 1, HOSTS[0])
    assert crew.admit(2, HOSTS[0]) is not None
    assert slot is not None
    slot.establish()
    assert crew.evicted == ["slow"]
    assert crew.workers[0].total == 2


def test_who_leaves_of_itself_satisfies_a_plea(closing: ExitStack) -> None:
    crew = crew_of(closing, per_address=2)
    slot = crew.admit(0, HOSTS[0], "leaving")
    crew.admit(0, HOSTS[0], "staying")
    assert crew.admit(2, HOSTS[0]) is not None
    assert slot is not None
    slot.release()
    crew.hear()
    assert crew.evicted == []
    assert crew.workers[0].total == 2


@pytest.mark.slow
def test_with_a_lock_that_nobody_is_given_places_are_counted_and_nobody_is_made_to_give_way(
    closing: ExitStack,
) -> None:
    crew = crew_of(closing, connections=2)
    with keeping(crew.memory):
        crew.admit(0, HOSTS[0], "first")
        crew.admit(0, HOSTS[1], "second")
        assert crew.workers[1].total == 2
        assert crew.admit(1, HOSTS[2]) is None  # the first is another worker's: it is not asked
    assert crew.admit(1, HOSTS[2]) is not None
    crew.hear()
    assert crew.evicted == ["first"]


@contextmanager
def keeping(memory: Memory) -> Iterator[None]:
    """Another process holds the memory's lock all the while."""
    holding, done = (multiprocessing.get_context("fork").Event() for _ in range(2))

    def hold() -> None:
        with memory.counting:
            holding.set()
            done.wait(30)

    process = multiprocessing.get_context("fork").Process(target=hold)
    process.start()
    assert holding.wait(10)
    try:
        yield
    finally:
        done.set()
        process.join(10)


def test_the_places_of_a_worker_that_died_are_free(closing: ExitStack) -> None:
    crew = crew_of(closing, connections=3, per_address=3)
    for worker in (0, 0, 1):
        established(crew, worker, HOSTS[0])
    assert crew.admit(1, HOSTS[0]) is None
    crew.memory.clear(0)
    assert crew.workers[1].total == 1
    assert all(crew.admit(1, HOSTS[0]) is not None for _ in range(2))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["admit", "establish", "release", "leave", "hear"]),
            st.integers(0, WORKERS - 1),
            st.sampled_from(HOSTS),
            st.integers(0, 100),
        ),
        max_size=60,
    )
)
def test_the_counts_hold_whatever_comes_and_goes(steps: list[tuple[str, int, str, int]]) -> None:
    caps = Caps(connections=6, per_address=3, handshakes=4)
    held: dict[Slot, str] = {}
    with ExitStack() as closing:
        crew = crew_of(closing, connections=6, per_address=3, handshakes=4)

        def admit(worker: int, host: str) -> None:
            def evict() -> None:
                assert slot is not None
                del held[slot]

            slot = crew.workers[worker].admit(host, evict)
            if slot is not None:
                held[slot] = host

        for step, worker, host, which in steps:
            if step == "admit":
                admit(worker, host)
            elif step == "hear":
                crew.hear()
            elif held:
                slot = list(held)[which % len(held)]
                if step == "leave":  # perhaps in mid-handshake
                    del held[slot]
                    slot.release()
                    continue
                slot.establish()
                if step == "release" and slot in held:
                    del held[slot]
                    slot.release()
        crew.hear()
        capacity = crew.workers[0]
        assert capacity.total == len(held)
        assert capacity.total <= caps.connections
        assert capacity.half_open <= caps.handshakes
        assert all(list(held.values()).count(host) <= caps.per_address for host in HOSTS)
        for slot in list(held):
            slot.release()
        assert (capacity.total, capacity.half_open) == (0, 0)
