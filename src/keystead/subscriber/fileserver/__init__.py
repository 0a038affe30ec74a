"""The file server: an ASGI app that keeps each identity's files, whole, durable, and to itself."""
