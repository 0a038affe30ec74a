"""What happened in one environment, entry by entry, as the leaves of a Merkle tree."""
