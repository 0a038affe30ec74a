"""The commands of the CA machine."""
