"""How much one client may take of the server: one value, with the defaults that the documentation lists.

Not here: who enforces them. The handshake's are held by `tls`, the rest by `web.http` and `web.server`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Octets, seconds and counts. Each bounds one client; together they bound the process."""

    head: int = 32 * 1024
    """Octets of a request's line and headers; more is answered 431."""

    handshake_seconds: float = 10.0
    """From the accepted connection to the finished handshake."""

    head_seconds: float = 15.0
    """For a request's head once it has begun; also the wait for the first request and between two."""

    stall_seconds: float = 30.0
    """Without any progress, of a body that is sent to us or of an answer that is to be read."""

    connections: int = 1_000
    """At once, in all."""

    connections_per_address: int = 100
    """At once, from one IPv4 address or one IPv6 /64."""

    stop_seconds: float = 10.0
    """For what still runs when the server is told to stop; then it is cut."""
