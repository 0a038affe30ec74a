"""The one server engine: listeners, the peer in the ASGI scope, limits, access log, graceful stop."""
