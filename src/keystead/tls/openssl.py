"""The private names of pyOpenSSL that the server uses: detected here and nowhere else, with public fallbacks.

pyOpenSSL's public `recv` allocates and copies for each record; reading through the library's own
`SSL_read` into one pinned buffer halves the processor time of an upload.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from OpenSSL import SSL

_RECORD = 16_384
"""Plaintext in one TLS record, at most (RFC 8446, section 5.1)."""

_lib: Any = getattr(SSL, "_lib", None)
_ffi: Any = getattr(SSL, "_ffi", None)
_NOWHERE: Any = _ffi.new("char **") if _ffi is not None else None
"""Where OpenSSL leaves an address that nobody looks at."""


class Reader(Protocol):
    """Gathers plaintext of one connection at a time: `fill` as often as wanted, then `take`.

    One belongs to an event loop, not to a connection; between `fill` and `take` nobody else may use it.
    """

    size: int
    """Octets gathered since the last `take`."""

    def fill(self, connection: SSL.Connection) -> bool:
        """Decrypt all that is there; True once the peer has sent close_notify. Raises `SSL.Error`."""

    def take(self) -> bytes:
        """What was gathered."""

    def reset(self) -> None:
        """Forget what a connection that failed has left."""


class PublicReader:
    """Reads by pyOpenSSL's public means alone."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []

    def fill(self, connection: SSL.Connection) -> bool:
        """Decrypt all that is there."""
        try:
            while True:
                part = connection.recv(_RECORD)
                self._parts.append(part)
                self.size += len(part)
        except SSL.WantReadError:
            return False
        except SSL.ZeroReturnError:
            return True

    def take(self) -> bytes:
        """What was gathered."""
        data = b"".join(self._parts)
        self.reset()
        return data

    def reset(self) -> None:
        """Forget what was gathered."""
        self._parts.clear()
        self.size = 0


class PinnedReader:
    """Reads straight into one buffer that never moves; ``room`` is the most that one `take` gives."""

    def __init__(self, room: int) -> None:
        self.size = 0
        self._room = room
        self._buffer = bytearray(room)
        self._view = memoryview(self._buffer)
        self._pointer = _ffi.from_buffer(self._buffer)

    def fill(self, connection: SSL.Connection) -> bool:
        """Decrypt all that is there."""
        ssl = connection._ssl
        _lib.ERR_clear_error()  # a stale entry of another connection would be taken for this one's
        while (octets := _lib.SSL_read(ssl, self._pointer + self.size, self._room - self.size)) > 0:
            self.size += octets
            if self.size == self._room:
                raise BufferError("more plaintext than ciphertext was fed")
        error = _lib.SSL_get_error(ssl, octets)
        if error == _lib.SSL_ERROR_WANT_READ:
            return False
        if error == _lib.SSL_ERROR_ZERO_RETURN:
            return True
        connection._raise_ssl_error(ssl, octets)
        raise SSL.Error("reading failed")

    def take(self) -> bytes:
        """What was gathered."""
        data = bytes(self._view[: self.size])
        self.size = 0
        return data

    def reset(self) -> None:
        """Forget what was gathered."""
        self.size = 0


def has_private_names() -> bool:
    """Whether this pyOpenSSL has the names that `PinnedReader` needs."""
    names = ("SSL_read", "SSL_get_error", "ERR_clear_error")
    return (
        all(hasattr(_lib, name) for name in names)
        and hasattr(_ffi, "from_buffer")
        and hasattr(SSL.Connection, "_raise_ssl_error")
    )


def make_reader(room: int) -> Reader:
    """The fastest reader that this pyOpenSSL allows, for batches of at most ``room`` octets."""
    return PinnedReader(room) if has_private_names() else PublicReader()


def has_output(connection: SSL.Connection) -> bool:
    """Whether OpenSSL has something to send; True where only an attempt can tell."""
    pending = getattr(_lib, "BIO_get_mem_data", None)
    bio = getattr(connection, "_from_ssl", None)
    if pending is None or bio is None:
        return True
    return bool(pending(bio, _NOWHERE) > 0)


def restrict_groups(context: SSL.Context, groups: Iterable[str]) -> None:
    """Offer ``groups`` alone for key exchange, best first.

    pyOpenSSL has no public call for a list; without the private one OpenSSL's own list stands, which begins
    with the same groups.
    """
    set_list = getattr(_lib, "SSL_CTX_set1_curves_list", None)
    if set_list is not None and set_list(context._context, ":".join(groups).encode("ascii")) != 1:
        raise SSL.Error(f"OpenSSL does not know all of {', '.join(groups)}")
