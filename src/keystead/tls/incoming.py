"""Ciphertext on its way in: decrypted in turns, so that one peer's flood is not everybody's wait.

Not here: the handshake, and when to read from the socket (`tls.protocol`).
"""

from __future__ import annotations

from OpenSSL import SSL

from keystead.tls.openssl import Reader

TURN = 16 * 1024
"""Octets decrypted at first; where they yield little, the other connections get their turn first."""

_LARGEST_TURN = 64 * 1024
"""Octets decrypted at once while all that came before in the same batch was worth it."""

BARREN = 64 * 1024
"""Octets without any plaintext after which the peer is cut off: thousands of KeyUpdates, say."""


class Incoming:
    """One connection's decryption. ``ended`` says that the peer has sent close_notify."""

    __slots__ = ("_aside", "_barren", "_connection", "_reader", "_unread", "ended")

    def __init__(self, connection: SSL.Connection, reader: Reader) -> None:
        self._connection = connection
        self._reader = reader
        self._aside = b""
        self._unread = True  # the end of the handshake may have brought the beginning of the data
        self._barren = 0
        self.ended = False

    @property
    def pending(self) -> bool:
        """Whether there may be plaintext without anything more from the socket."""
        return self._unread or bool(self._aside)

    def put_aside(self, ciphertext: memoryview) -> None:
        """Keep ``ciphertext`` (copied) for the next turn."""
        self._aside = bytes(ciphertext)

    def take_aside(self) -> memoryview:
        """What was put aside."""
        aside, self._aside = self._aside, b""
        return memoryview(aside)

    def decrypt(self, ciphertext: memoryview) -> bytes:
        """The plaintext of ``ciphertext``, or of its beginning; the rest is put aside (copied).

        Raises `SSL.Error` where it is no TLS or holds a fatal alert, and `ConnectionAbortedError` on a flood.
        """
        reader = self._reader
        reader.reset()
        if self._unread:
            self._unread = False
            self.ended = reader.fill(self._connection)
        turn = TURN
        while ciphertext and not self.ended:
            piece, ciphertext = ciphertext[:turn], ciphertext[turn:]
            before = reader.size
            self._connection.bio_write(piece)
            self.ended = reader.fill(self._connection)
            gained = reader.size - before
            self._barren = 0 if gained else self._barren + len(piece)
            if self._barren > BARREN:
                raise ConnectionAbortedError(f"more than {BARREN // 1024} KiB of TLS records carried nothing")
            if gained < len(piece) // 2:
                break
            turn = min(2 * turn, _LARGEST_TURN)
        self.put_aside(ciphertext[:0] if self.ended else ciphertext)
        return reader.take()
