"""What is in a file: every certificate, CSR, revocation list and key of it, in order.

Not here: the words for it (`describe`).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from keystead.errors import BadInput, KeysteadError
from keystead.machine.files import check_private, read_bounded
from keystead.pki import csr
from keystead.pki.certificates import load_certificates
from keystead.pki.keys import load_private_pem
from keystead.pki.leaks import holds_private_key
from keystead.pki.revocation import MAX_CRL_OCTETS, load_crls
from keystead.pki.text import as_text
from keystead.subscriber import describe
from keystead.subscriber.describe import Description

_MAX_BLOCKS = 100
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----[^-]*-----END \1-----")
_PKCS12 = re.compile(
    rb"\x30.{1,5}\x02\x01\x03\x30.{1,5}\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01", re.DOTALL
)
"""Version 3 and then pkcs7-data, whatever the lengths: how a PFX begins (RFC 7292, section 4)."""
_AGE = (b"age-encryption.org/v1", b"-----BEGIN AGE ENCRYPTED FILE-----")

_AGE_ARMOR_ENDS = b"-----END AGE ENCRYPTED FILE-----"
"""A sealed key is armor alone; a backup is binary, behind armor where a passphrase opens it."""

_Reader = Callable[[bytes, Path, datetime], Iterator[Description]]


def _sealed(path: Path) -> BadInput:
    return BadInput(
        f"{path} is sealed with age, as a backup of a CA is",
        why="what is in it is seen by nobody but who opens it",
        mend=f"on the CA's machine, to see whether it can be restored:"
        f" keystead ca backup --verify {shlex.quote(str(path))}",
        code="sealed",
    )


def look_into(path: Path, now: datetime) -> tuple[Description, ...]:
    """What the file ``path`` holds; raises `BadInput` where it is nothing that keystead knows.

    A private key is described by its public half alone.
    """
    data = as_text(read_bounded(path, MAX_CRL_OCTETS))
    if data.startswith(_AGE):
        if not data.rstrip().endswith(_AGE_ARMOR_ENDS):
            raise _sealed(path)
        return (describe.opaque_key("sealed with age: only its passphrase or age identity opens it"),)
    if _PKCS12.match(data):
        raise BadInput(
            f"{path} is a PKCS#12 file, which is opened by its passphrase alone",
            why="its key and certificates are encrypted together",
            mend=f"openssl pkcs12 -info -nokeys -in {shlex.quote(str(path))}",
            code="pkcs12",
        )
    blocks = [(match[1].decode(), match[0]) for match in _BLOCK.finditer(data)]
    if len(blocks) > _MAX_BLOCKS:
        raise BadInput(f"{path} holds {len(blocks)} PEM blocks; at most {_MAX_BLOCKS} are shown")
    found = [
        description for label, block in blocks for description in _read_block(label, block, path, now)
    ] or _read_der(data, path, now)
    if not found:
        raise BadInput(
            f"{path} holds nothing that keystead knows",
            why="it is empty" if not data.strip() else _KNOWN,
            mend="check that this is the file you mean",
            code="unknown-content",
        )
    return tuple(found)


_KNOWN = "known are certificates, CSRs, revocation lists and private keys, in PEM or DER"


def _certificates(data: bytes, path: Path, now: datetime) -> Iterator[Description]:
    for found in load_certificates(data, str(path)):
        yield describe.certificate(found, now)


def _requests(data: bytes, path: Path, now: datetime) -> Iterator[Description]:
    yield describe.request(csr.parse(data, str(path)))


def _lists(data: bytes, path: Path, now: datetime) -> Iterator[Description]:
    for found in load_crls(data, str(path)):
        yield describe.revocation_list(found, now)


def _keys(data: bytes, path: Path, now: datetime) -> Iterator[Description]:
    warnings = []
    try:
        check_private(path)
    except KeysteadError as error:
        warnings.append(f"{error.why}: {error.mend}")
    try:
        key = load_private_pem(data, str(path))
    except KeysteadError as error:
        yield describe.opaque_key(f"not opened: {error.what}", warnings)
    else:
        yield describe.private_key(key.public_key(), warnings)


_READERS: Mapping[str, _Reader] = MappingProxyType(
    {
        "CERTIFICATE": _certificates,
        "X509 CERTIFICATE": _certificates,
        "CERTIFICATE REQUEST": _requests,
        "NEW CERTIFICATE REQUEST": _requests,
        "X509 CRL": _lists,
    }
)


def _read_block(label: str, block: bytes, path: Path, now: datetime) -> list[Description]:
    reader = _READERS.get(label)
    if reader is None:
        if not label.endswith("PRIVATE KEY"):
            return []
        reader = _keys
    return _described(reader, block, path, now)


def _read_der(data: bytes, path: Path, now: datetime) -> list[Description]:
    for reader in (_certificates, _requests, _lists):
        try:
            return _described(reader, data, path, now)
        except KeysteadError:
            continue
    if data and holds_private_key(data):
        return _described(_keys, data, path, now)
    return []


def _described(reader: _Reader, data: bytes, path: Path, now: datetime) -> list[Description]:
    try:
        return list(reader(data, path, now))
    except ValueError as error:
        # Some parts, such as the entries of a list, are parsed only when they are looked at.
        raise BadInput(
            f"{path} holds a part that cannot be read",
            why=f"the parser says: {error}",
            mend="fetch the file again from where it came",
            code="malformed",
        ) from None
