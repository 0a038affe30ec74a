"""keystead."""
