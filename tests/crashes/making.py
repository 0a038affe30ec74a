"""CSRs by the dozen, made without the command."""

from __future__ import annotations

from pathlib import Path

from keystead.pki.keys import KeyType, generate
from tests.pki.makers import csr_pem


def write_csrs(folder: Path, names: list[str]) -> None:
    """A CSR of a new key for each of ``names``, into ``folder``, which is made."""
    folder.mkdir()
    for name in names:
        (folder / f"{name}.csr").write_bytes(csr_pem(name, signer=generate(KeyType.P256)))
