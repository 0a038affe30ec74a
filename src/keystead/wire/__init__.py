"""The messages that both sides speak, as pure values."""
