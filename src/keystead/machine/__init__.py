"""The effects that everybody needs: files, secrets, clock, locks, memory."""
