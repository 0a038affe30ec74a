"""Start-up: `keystead csr` from start to end beside a bare script over cryptography, and beside openssl."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from bench.measure import Race, run

KEYSTEAD = str(Path(sys.executable).with_name("keystead"))

_SCRIPT = """
import os, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "alice")])
csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
pem = key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
with os.fdopen(os.open("alice.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f: f.write(pem)
with open("alice.csr", "wb") as f: f.write(csr.public_bytes(serialization.Encoding.PEM))
"""


def race(place: Path, rounds: int) -> str:
    """The race, as Markdown."""

    def afresh() -> Path:
        folder = place / "csr"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def script() -> None:
        run([sys.executable, "-c", _SCRIPT], cwd=afresh())

    def keystead() -> None:
        run([KEYSTEAD, "csr", "alice"], cwd=afresh())

    def openssl() -> None:
        run(
            [
                *("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
                *("-keyout", "alice.key", "-out", "alice.csr", "-subj", "/CN=alice"),
            ],
            cwd=afresh(),
        )

    def nothing() -> None:
        run([sys.executable, "-c", ""])

    contestants = {
        "a bare script over cryptography": script,
        "`keystead csr alice`": keystead,
        "`openssl req`": openssl,
        "`python -c ''`": nothing,
    }
    return Race("Making a key and a CSR, from start to end", "runs", 1, contestants).run(rounds).report()
