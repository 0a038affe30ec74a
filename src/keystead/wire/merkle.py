"""The Merkle tree of RFC 9162, section 2.1, as pure functions: leaves, roots, and a frontier to append to.

A tree of n leaves is held as its *frontier*: the roots of the perfect subtrees that n's binary digits name,
largest first. It is log2(n) hashes, and all that appending takes. Not here: proofs, and what a leaf says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

HASH_SIZE = 32
"""Bytes of SHA-256, the tree's hash."""

EMPTY_ROOT = sha256().digest()
"""The root of a tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf; the prefix 0 keeps it from passing for an inner node."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node over its two children."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """A tree as far as appending needs it: how many leaves, and the roots of its perfect subtrees."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        fits = self.size >= 0 and len(self.hashes) == self.size.bit_count()
        if not fits or any(len(h) != HASH_SIZE for h in self.hashes):
            raise ValueError("a frontier has a hash for each binary digit 1 of its size")

    @classmethod
    def unpack(cls, size: int, packed: bytes) -> Self:
        """The frontier that `packed` wrote; `ValueError` where the two do not fit together."""
        starts = range(0, len(packed), HASH_SIZE)
        return cls(size, tuple(packed[start : start + HASH_SIZE] for start in starts))

    @property
    def packed(self) -> bytes:
        """The hashes, one after the other."""
        return b"".join(self.hashes)

    def append(self, leaves: Iterable[bytes]) -> Frontier:
        """The frontier with these leaf hashes added, in order."""
        size, hashes = self.size, list(self.hashes)
        for leaf in leaves:
            node, carry = leaf, size
            while carry & 1:
                node = node_hash(hashes.pop(), node)
                carry >>= 1
            hashes.append(node)
            size += 1
        return Frontier(size, tuple(hashes))

    @property
    def root(self) -> bytes:
        """The tree's root hash."""
        if not self.hashes:
            return EMPTY_ROOT
        *rest, node = self.hashes
        for left in reversed(rest):
            node = node_hash(left, node)
        return node
