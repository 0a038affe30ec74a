"""The Merkle tree of RFC 9162: against published vectors, and against its recursive definition."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.wire.merkle import EMPTY_ROOT, Frontier, leaf_hash, node_hash

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "merkle.json").read_text())
HASHES = st.lists(st.binary(min_size=32, max_size=32), max_size=70)


@pytest.mark.parametrize("size", range(9))
def test_the_published_roots_come_out(size: int) -> None:
    leaves = [leaf_hash(bytes.fromhex(leaf)) for leaf in VECTORS["leaves"][:size]]
    assert Frontier().append(leaves).root.hex() == VECTORS["roots"][size]


def by_definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, letter by letter."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return node_hash(by_definition(leaves[:split]), by_definition(leaves[split:]))


@given(HASHES)
def test_a_root_is_what_the_definition_says(leaves: list[bytes]) -> None:
    assert Frontier().append(leaves).root == by_definition(leaves)


@given(HASHES, st.data())
def test_appending_in_pieces_gives_the_same_tree(leaves: list[bytes], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(leaves)))
    assert Frontier().append(leaves[:cut]).append(leaves[cut:]) == Frontier().append(leaves)


@given(HASHES)
def test_a_frontier_is_read_back_as_it_was_written(leaves: list[bytes]) -> None:
    frontier = Frontier().append(leaves)
    assert Frontier.unpack(frontier.size, frontier.packed) == frontier


def test_a_frontier_stays_small() -> None:
    assert len(Frontier().append(leaf_hash(b"%d" % i) for i in range(10_000)).packed) <= 14 * 32


@pytest.mark.parametrize(
    ("size", "packed"), [(1, b""), (0, b"x" * 32), (2, b"x" * 31), (3, b"x" * 65), (-1, b"x" * 32)]
)
def test_hashes_that_do_not_fit_the_size_are_no_frontier(size: int, packed: bytes) -> None:
    with pytest.raises(ValueError, match="frontier"):
        Frontier.unpack(size, packed)


def test_a_leaf_is_no_inner_node() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)
