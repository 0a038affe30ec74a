"""TLS 1.3 records made by hand, for what no library sends: floods of KeyUpdates and of empty records."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tests.tls.rawclient import RawClient
from tests.tls.throwaway import Pair

APPLICATION_DATA, HANDSHAKE = 23, 22
KEY_UPDATE = bytes([24, 0, 0, 1, 0])
"""update_not_requested (RFC 8446, section 4.6.3)."""
KEY_UPDATE_REQUESTED = bytes([24, 0, 0, 1, 1])


class RecordClient(RawClient):
    """Handshakes by `ssl`, then writes records of its own with the client's traffic secret."""

    def __init__(self, port: int, pair: Pair, folder: Path, **options: str) -> None:
        log = folder / f"keys-{id(self)}"
        context = pair.context
        context.keylog_filename = str(log)
        try:
            super().__init__(port, context, **options)  # type: ignore[arg-type]
            self.handshake()
        finally:
            context.keylog_filename = None  # type: ignore[assignment]  # typeshed knows no None here
        assert self.tls.cipher()[0] == "TLS_AES_256_GCM_SHA384"  # type: ignore[index]
        lines = (line.split() for line in log.read_text().splitlines())
        self._rekey(next(bytes.fromhex(line[2]) for line in lines if line[0] == "CLIENT_TRAFFIC_SECRET_0"))

    def record(self, kind: int, content: bytes) -> bytes:
        """One encrypted record; the sequence number moves on."""
        nonce = (int.from_bytes(self._iv) ^ self._sequence).to_bytes(12)
        self._sequence += 1
        inner = content + bytes([kind])
        header = bytes([APPLICATION_DATA, 3, 3]) + (len(inner) + 16).to_bytes(2)
        return header + self._aead.encrypt(nonce, inner, header)

    def key_update(self, message: bytes = KEY_UPDATE) -> bytes:
        """A KeyUpdate; what follows uses the next keys."""
        record = self.record(HANDSHAKE, message)
        self._rekey(_expand(self._secret, b"traffic upd", 48))
        return record

    def _rekey(self, secret: bytes) -> None:
        self._secret = secret
        self._aead = AESGCM(_expand(secret, b"key", 32))
        self._iv = _expand(secret, b"iv", 12)
        self._sequence = 0


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446, section 7.1)."""
    name = b"tls13 " + label
    info = length.to_bytes(2) + bytes([len(name)]) + name + b"\0"
    return HKDFExpand(hashes.SHA384(), length, info).derive(secret)
