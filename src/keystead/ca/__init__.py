"""The CA machine's wing."""
