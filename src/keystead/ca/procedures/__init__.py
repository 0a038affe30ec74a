"""Procedures with all of an environment: taking a backup, and bringing one back."""
