"""``host:port`` as a URL and a Host field have it. Not here: which hosts and ports there may be."""

from __future__ import annotations


def place_of(host: str, port: int) -> str:
    """``host:port``, an IPv6 address in brackets (RFC 3986, section 3.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
