"""The private names of pyOpenSSL that the server uses: detected here and nowhere else, with public fallbacks.

pyOpenSSL's public `recv` allocates and copies for each record; reading through the library's own
`SSL_read` into one pinned buffer halves the processor time of an upload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from OpenSSL import SSL, crypto

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


@dataclass(frozen=True, slots=True)
class Finding:
    """What OpenSSL found fault with while it verified, by its own number; good until it is answered."""

    errno: int
    depth: int
    _store: Any

    def certificate(self) -> crypto.X509:
        """The certificate in question."""
        pointer = _lib.X509_STORE_CTX_get_current_cert(self._store)
        _lib.X509_up_ref(pointer)
        return crypto.X509._from_raw_x509_ptr(pointer)

    def chain(self) -> tuple[crypto.X509, ...]:
        """What was built, leaf first, anchor last. Nothing is parsed."""
        found = _lib.X509_STORE_CTX_get1_chain(self._store)  # a reference to each is ours from here on
        adopt, at = crypto.X509._from_raw_x509_ptr, _lib.sk_X509_value
        certificates = tuple(adopt(at(found, place)) for place in range(_lib.sk_X509_num(found)))
        _lib.sk_X509_free(found)
        return certificates


def can_judge() -> bool:
    """Whether this pyOpenSSL has the names that `judge_findings` needs."""
    names = (
        "SSL_CTX_set_verify",
        "SSL_get_ex_data_X509_STORE_CTX_idx",
        "X509_STORE_CTX_get1_chain",
        "X509_STORE_CTX_get_current_cert",
        "X509_STORE_CTX_get_error",
        "X509_STORE_CTX_get_error_depth",
        "X509_STORE_CTX_get_ex_data",
        "X509_STORE_CTX_set_error",
        "X509_up_ref",
        "sk_X509_free",
        "sk_X509_num",
        "sk_X509_value",
    )
    return (
        all(hasattr(_lib, name) for name in names)
        and hasattr(_ffi, "callback")
        and hasattr(SSL.Connection, "_reverse_mapping")
        and hasattr(crypto.X509, "_from_raw_x509_ptr")
    )


def judge_findings(context: SSL.Context, mode: int, judge: Callable[[SSL.Connection, Finding], int]) -> None:
    """Have ``judge`` answer each finding: 0 waves it through, any other number of OpenSSL's refuses as that.

    The public call cannot change the number, by which OpenSSL chooses the alert; and it is called for each
    certificate that nothing is wrong with, too. Should ``judge`` fail, the peer is refused.
    """
    index = _lib.SSL_get_ex_data_X509_STORE_CTX_idx()

    def answer(ok: int, store: Any) -> int:
        if ok:
            return 1
        errno = _lib.X509_STORE_CTX_get_error(store)
        finding = Finding(errno, _lib.X509_STORE_CTX_get_error_depth(store), store)
        connection = SSL.Connection._reverse_mapping[_lib.X509_STORE_CTX_get_ex_data(store, index)]
        verdict = judge(connection, finding)
        _lib.X509_STORE_CTX_set_error(store, verdict)
        return int(verdict == _lib.X509_V_OK)

    callback = _ffi.callback("int (*)(int, X509_STORE_CTX *)", answer, error=0)
    context._verify_callback = callback  # kept by the context, and from there by each of its connections
    _lib.SSL_CTX_set_verify(context._context, mode, callback)
