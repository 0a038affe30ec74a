"""Where a private key lives and signs."""
