"""Key and chain in one file, for programs that want them so: PKCS#12 for browsers and Java, PEM for HAProxy.

Not here: where the passphrase comes from.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import PrivateFormat, pkcs12

from keystead.errors import AlreadyThere, BadInput, NotThere
from keystead.machine.files import write_new
from keystead.machine.gitignore import is_ignored
from keystead.machine.oserrors import told
from keystead.machine.secrets import Passphrase
from keystead.pki.keys import is_experimental
from keystead.subscriber.layout import Folder
from keystead.subscriber.pair import Pair, read_pair

PBKDF2_ROUNDS = 600_000
"""OWASP's figure for PBKDF2 with HMAC-SHA-256 (Password Storage Cheat Sheet, 2023)."""


def pair_of(folder: Folder, name: str) -> Pair:
    """The key and certificate of ``name`` in ``folder``; raises as `pair.read_pair` does."""
    folder.require()
    files = folder.files(name)
    if not files.key.exists():
        there = ", ".join(other.name for other in folder.all())
        raise NotThere(
            f"there is no {files.key} to export",
            why=f"the folder has keys of: {there or 'nobody'}",
            mend=f"keystead export NAME --dir {shlex.quote(str(folder.path))}   with one of these names",
            code="no-key",
        )
    return read_pair(files)


def require_pkcs12(pair: Pair) -> None:
    """Raise `BadInput` for a key that PKCS#12 cannot hold here."""
    if is_experimental(pair.leaf.public_key()):
        raise BadInput(
            f"{pair.files.key} cannot be written as PKCS#12",
            why="what writes it knows no keys of type ML-DSA-65 yet, nor does what would read it",
            mend=f"write PEM: keystead export {pair.files.name} --pem FILE",
            code="no-pkcs12",
        )


def as_pkcs12(pair: Pair, passphrase: Passphrase) -> bytes:
    """The pair as PKCS#12 (RFC 7292): PBES2 with AES-256 and PBKDF2 (RFC 8018), MAC by SHA-256.

    The chain goes with it, the root does not: trusting a CA is a decision of its own. Raises as
    `require_pkcs12`.
    """
    require_pkcs12(pair)
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(PBKDF2_ROUNDS)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(passphrase.reveal().encode())
    )
    return pkcs12.serialize_key_and_certificates(
        pair.files.name.encode(),
        pair.key,  # type: ignore[arg-type]  # the one type that it does not take is refused above
        pair.leaf,
        pair.chain[1:],
        encryption,
    )


def as_pem(pair: Pair) -> bytes:
    """Key, leaf and chain as PEM, unencrypted."""
    return pair.key_pem.rstrip(b"\n") + b"\n" + pair.chain_pem


def write(path: Path, data: bytes) -> str:
    """Write an export to ``path``, which must not exist, with mode 0600; a warning where git would take it.

    Raises `AlreadyThere`.
    """
    with told(path, "write"):
        is_there = path.exists()
    if is_there:
        raise AlreadyThere(
            f"{path} is already there and is not overwritten",
            why="it may hold another key",
            mend="name another file, or move it away first",
        )
    write_new(path, data)
    folder = path.absolute().parent
    in_git = any((place / ".git").exists() for place in (folder, *folder.parents))
    if in_git and not is_ignored(path):
        return (
            f"git would take {path}, and a key that was committed counts as stolen; add to"
            f" {folder / '.gitignore'} the line: {path.name}"
        )
    return ""
