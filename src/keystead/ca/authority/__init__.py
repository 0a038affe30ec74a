"""The verbs of a CA, one file each, as functions over one small frozen value."""
