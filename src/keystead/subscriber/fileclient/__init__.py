"""The client of the file server: sends, lists and fetches files over mutual TLS."""
