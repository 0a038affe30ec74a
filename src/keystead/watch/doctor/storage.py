"""How a subscriber's files lie there: modes, owners, encodings, private keys in the wrong file.

Not here: what the certificates say (`holders`, `trust`).
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key

from keystead.errors import KeysteadError
from keystead.machine.gitignore import is_ignored
from keystead.pki.leaks import holds_private_key
from keystead.watch.doctor.checks import Check, Seen
from keystead.watch.doctor.mends import fresh_lists, here
from keystead.watch.doctor.outcomes import Warned
from keystead.watch.doctor.scene import Scene, Stored

_KEY: Final = ".key"
_OTHERS: Final = stat.S_IRWXO | stat.S_IWGRP
_CHANGEABLE: Final = stat.S_IWGRP | stat.S_IWOTH
_BOM: Final = b"\xef\xbb\xbf"
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff")
_EXPORT: Final = ".pem"


def _changeable_folder(scene: Scene) -> Iterator[Seen]:
    if scene.mode & _CHANGEABLE:
        yield Seen(scene.folder.path, f"{scene.mode:04o}")


def _open_keys(scene: Scene) -> Iterator[Seen]:
    for stored in _keys(scene):
        if stored.mode & _OTHERS:
            yield Seen(stored.path, f"{stored.mode:04o}")


def _changeable_trust(scene: Scene) -> Iterator[Seen]:
    for path in (scene.folder.ca, scene.folder.crl):
        for stored in scene.file(path):
            if stored.mode & _CHANGEABLE:
                yield Seen(path, f"{stored.mode:04o}")


def _foreign_keys(scene: Scene) -> Iterator[Seen]:
    for stored in _keys(scene):
        if stored.owner != scene.owner:
            yield Seen(stored.path, f"its owner is uid {stored.owner}, and the folder's is uid {scene.owner}")


def _git_takes(scene: Scene) -> Iterator[Seen]:
    for stored in _keys(scene):
        if not is_ignored(stored.path):
            yield Seen(stored.path)
            return


def _der_certificates(scene: Scene) -> Iterator[Seen]:
    for stored in scene.stored:
        if stored.path.suffix == ".crt" and _is_der(stored):
            yield Seen(stored.path)


def _der_lists(scene: Scene) -> Iterator[Seen]:
    for stored in scene.file(scene.folder.crl):
        if _is_der(stored):
            yield Seen(stored.path, environment=scene.environment)


def _der_keys(scene: Scene) -> Iterator[Seen]:
    yield from (Seen(stored.path) for stored in _keys(scene) if _is_der_key(stored.data))


def _is_der(stored: Stored) -> bool:
    return stored.data.startswith(b"\x30") and b"-----BEGIN" not in stored.data


def _is_der_key(data: bytes) -> bool:
    if not data.startswith(b"\x30"):
        return False
    try:
        load_der_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _windows_lines(scene: Scene) -> Iterator[Seen]:
    for stored in scene.stored:
        if _is_pem(stored) and b"\r\n" in stored.data:
            yield Seen(stored.path)


def _marks(scene: Scene) -> Iterator[Seen]:
    yield from (Seen(stored.path) for stored in scene.stored if stored.data.startswith(_BOM))


def _wide_texts(scene: Scene) -> Iterator[Seen]:
    yield from (Seen(stored.path) for stored in scene.stored if stored.data.startswith(_WIDE))


def _is_pem(stored: Stored) -> bool:
    return b"-----BEGIN " in stored.data


def _encrypted(scene: Scene) -> Iterator[Seen]:
    for holder in scene.holders:
        if isinstance(holder.key, KeysteadError) and holder.key.code == "encrypted-key":
            yield Seen(holder.files.key)


def _keys_in_public_files(scene: Scene) -> Iterator[Seen]:
    public = {scene.folder.ca, scene.folder.crl}
    for stored in scene.stored:
        is_public = stored.path in public or stored.path.suffix in (".crt", ".csr")
        if is_public and _is_pem(stored) and holds_private_key(stored.data):
            yield Seen(stored.path)


def _open_exports(scene: Scene) -> Iterator[Seen]:
    for stored in scene.stored:
        is_export = stored.path.suffix == _EXPORT and stored.path != scene.folder.crl
        if is_export and stored.mode & _OTHERS and holds_private_key(stored.data):
            yield Seen(stored.path, f"{stored.mode:04o}")


def _keys(scene: Scene) -> Iterator[Stored]:
    yield from (stored for stored in scene.stored if stored.path.suffix == _KEY)


_IN_PLACE = " && cat {path}.pem > {path} && rm {path}.pem"
"""Into the same file, so that owner and mode stay."""

CHECKS: Final = (
    Check(
        "folder-open",
        "the folder's mode",
        _changeable_folder,
        what="other accounts of this machine can exchange files in {path}",
        why="its mode is {detail}: whoever writes there can put another ca.crt in place",
        mend=here("chmod go-w {path}"),
    ),
    Check(
        "key-open",
        "the mode of each key",
        _open_keys,
        what="other accounts of this machine can get at {path}",
        why="its mode is {detail}, and whoever has the key is its owner; no command uses it like that",
        mend=here("chmod 600 {path}"),
    ),
    Check(
        "trust-open",
        "the modes of ca.crt and crl.pem",
        _changeable_trust,
        what="other accounts of this machine can change {path}",
        why="its mode is {detail}, and it decides who is trusted here",
        mend=here("chmod go-w {path}"),
    ),
    Check(
        "other-owner",
        "the owner of each key",
        _foreign_keys,
        what="{path} belongs to another account than its folder",
        why="{detail}: it was copied here, or made by another account; a key never leaves where it was made",
        mend=here("chown --reference={folder} {path}"),
        weight=Warned,
    ),
    Check(
        "key-in-git",
        ".gitignore",
        _git_takes,
        what="git would take {path}",
        why="no .gitignore keeps it out, and a key that was committed counts as stolen",
        mend=here("printf '%s\\n' '*.key' >> {folder}/.gitignore"),
    ),
    Check(
        "certificate-der",
        "the encoding of certificates",
        _der_certificates,
        what="{path} is in DER, not in PEM",
        why="OpenSSL's programs and Python's ssl read PEM here, and a DER file holds no chain",
        mend=here("openssl x509 -inform DER -in {path} -out {path}.pem" + _IN_PLACE),
    ),
    Check(
        "crl-der",
        "the encoding of crl.pem",
        _der_lists,
        what="{path} is in DER, not in PEM",
        why="it must hold two lists, which DER cannot",
        mend=fresh_lists,
    ),
    Check(
        "key-der",
        "the encoding of keys",
        _der_keys,
        what="{path} is in DER, not in PEM",
        why="a private key is read as PEM text that begins with -----BEGIN PRIVATE KEY-----",
        mend=here("(umask 077; openssl pkey -inform DER -in {path} -out {path}.pem)" + _IN_PLACE),
    ),
    Check(
        "windows-lines",
        "the line ends",
        _windows_lines,
        what="{path} has the line ends of Windows",
        why="keystead reads them; other programs that are given the file may not",
        mend=here("sed -i 's/\\r$//' {path}"),
        weight=Warned,
    ),
    Check(
        "byte-order-mark",
        "the first octets of each file",
        _marks,
        what="{path} begins with a byte order mark",
        why="an editor put it there, and OpenSSL then does not see what the first line begins",
        mend=here("sed -i '1s/^\\xEF\\xBB\\xBF//' {path}"),
    ),
    Check(
        "wide-text",
        "the encoding of the text",
        _wide_texts,
        what="{path} is in UTF-16",
        why="PowerShell's > writes files so, and OpenSSL reads octets of ASCII",
        mend=here("(umask 077; iconv -f UTF-16 -t UTF-8 {path} > {path}.pem)" + _IN_PLACE),
    ),
    Check(
        "key-encrypted",
        "whether keys open",
        _encrypted,
        what="{path} is encrypted with a passphrase",
        why="subscribers' keys are guarded by their files' modes, so that services start unattended",
        mend=here("(umask 077; openssl pkey -in {path} -out {path}.pem)" + _IN_PLACE),
    ),
    Check(
        "key-in-public-file",
        "private keys in files that travel",
        _keys_in_public_files,
        what="{path} holds a private key",
        why="such files are sent and published: if this one ever was, have the certificate revoked"
        " (keystead ca revoke NAME --reason keyCompromise)",
        mend=here("sed -i '/-----BEGIN .*PRIVATE KEY-----/,/-----END .*PRIVATE KEY-----/d' {path}"),
    ),
    Check(
        "export-open",
        "the mode of exports with a key",
        _open_exports,
        what="other accounts of this machine can get at {path}, which holds a private key",
        why="its mode is {detail}",
        mend=here("chmod 600 {path}"),
    ),
)
"""The table."""
