"""Records made by hand, for what no library sends: floods of KeyUpdates, empty records, renegotiations."""

from __future__ import annotations

import hmac
import ssl
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tests.tls.rawclient import RawClient
from tests.tls.throwaway import Pair, client_context

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


class RenegotiatingClient(RawClient):
    """The same in TLS 1.2, whose ClientHellos in mid-connection are refused, and who goes on all the same."""

    def __init__(self, port: int, pair: Pair, folder: Path) -> None:
        log = folder / "keys"
        context = client_context(pair.chain_pem, pair.key_pem)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
        context.keylog_filename = str(log)
        self._heard = b""
        super().__init__(port, context)
        self.handshake()
        (line,) = (line.split() for line in log.read_text().splitlines() if line.startswith("CLIENT_RANDOM"))
        client_random, master = map(bytes.fromhex, line[1:])
        server_random = self._heard[11:43]  # of the ServerHello, the first message in the first record
        block = _prf_sha384(master, b"key expansion" + server_random + client_random, 72)
        self._aead, self._salt = AESGCM(block[:32]), block[64:68]
        self._sequence = 1  # the Finished was 0

    def pull(self) -> bool:
        data = self.socket.recv(262_144)
        self._heard += data
        self.incoming.write(data)
        return bool(data)

    def record(self, kind: int, content: bytes) -> bytes:
        """One encrypted record (RFC 5288, section 3)."""
        explicit = self._sequence.to_bytes(8)
        additional = explicit + bytes([kind, 3, 3]) + len(content).to_bytes(2)
        self._sequence += 1
        sealed = explicit + self._aead.encrypt(self._salt + explicit, content, additional)
        return bytes([kind, 3, 3]) + len(sealed).to_bytes(2) + sealed

    def client_hello(self) -> bytes:
        """The beginning of a renegotiation."""
        return self.record(HANDSHAKE, bytes([1, 0, 0, 0]))


def _prf_sha384(secret: bytes, seed: bytes, length: int) -> bytes:
    """RFC 5246, section 5; ``seed`` begins with the label."""
    out, link = b"", seed
    while len(out) < length:
        link = hmac.digest(secret, link, "sha384")
        out += hmac.digest(secret, link + seed, "sha384")
    return out[:length]


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446, section 7.1)."""
    name = b"tls13 " + label
    info = length.to_bytes(2) + bytes([len(name)]) + name + b"\0"
    return HKDFExpand(hashes.SHA384(), length, info).derive(secret)
