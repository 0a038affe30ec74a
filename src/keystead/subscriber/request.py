"""Asking for a certificate: the key and the CSR of a new subscriber, and those of a renewal.

The key is born in the folder and stays there; both files come to be, or neither. Not here: the CA's answer
(`install`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.errors import AlreadyThere, Distrusted, KeysteadError, NotThere, Refused, WrongUsage
from keystead.machine.files import PUBLIC, read_bounded, write_atomic, write_new
from keystead.machine.folders import keep_out_of_git, make_private_folder
from keystead.machine.locks import hold
from keystead.pki import csr
from keystead.pki.certificates import extended_key_usages, host_names, identity_of
from keystead.pki.expiry import when
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import (
    KeyType,
    PrivateKey,
    describe,
    generate,
    load_private_pem,
    parse_key_type,
    private_pem,
    weaknesses,
)
from keystead.pki.names import HostNames, Identity
from keystead.pki.renewal import prove
from keystead.pki.serials import serial_hex
from keystead.subscriber.anew import asking_anew
from keystead.subscriber.layout import Files, Folder
from keystead.subscriber.pair import Pair, read_key, read_pair
from keystead.subscriber.roles import Role


@dataclass(frozen=True, slots=True)
class MadeRequest:
    """A CSR that lies in the folder, ready to be sent, and the key that stays.

    ``renews`` is the identity that is renewed, None for a new subscriber. ``key_is_new`` and
    ``csr_is_new`` are False for what lay there before, from a run that was cut short. ``beyond`` names the
    hosts that the certificate renewed does not cover. ``warning`` concerns git; empty where all is well.
    """

    files: Files
    key_path: Path
    key_type: str
    fingerprint: Fingerprint
    host_names: HostNames
    renews: Identity | None
    key_is_new: bool
    csr_is_new: bool
    beyond: tuple[str, ...]
    warning: str


@dataclass(frozen=True, slots=True)
class _Content:
    """What a CSR is to say, but for the key and the proof."""

    common_name: str
    purposes: frozenset[x509.ObjectIdentifier]
    host_names: HostNames


def request(
    folder: Folder, name: str, role: Role, sans: HostNames, key_type: KeyType = KeyType.P256
) -> MadeRequest:
    """Make ``NAME.key`` and ``NAME.csr`` in ``folder``, which is made where missing.

    A key without CSR and certificate, as a killed run leaves one, gets its CSR. Raises `AlreadyThere` where
    a key, or a CSR without its key, is there; nothing is changed then.
    """
    files = folder.files(name)
    content = _Content(name, frozenset({role.purpose}), sans)
    make_private_folder(folder.path)
    with hold(folder.lock, f"keystead csr {name}"):
        key = _left_behind(files)
        made = _Sending(files, files.key, key or generate(key_type), key is None)
        return made.send(content, renewed=None)


def renew(
    folder: Folder, name: str, sans: HostNames | None, key_type: KeyType | None, now: datetime
) -> MadeRequest:
    """Make ``NAME.new.key``, and in ``NAME.csr`` a CSR with the renewal proof; the pair in use stays.

    The CSR asks for what the certificate has: its extended key usages, and its hosts unless ``sans`` names
    fewer. ``key_type`` None means that of the old key. A renewal that is not finished is taken up again
    with the key that it has. Raises `NotThere` or `Distrusted` where there is nothing that can be renewed.
    """
    folder.require()
    files = folder.files(name)
    with hold(folder.lock, f"keystead csr {name} --renew"):
        pair = _renewable(files, now)
        identity, covered = identity_of(pair.leaf), host_names(pair.leaf)
        content = _Content(identity.name, extended_key_usages(pair.leaf), covered if sans is None else sans)
        key = _unfinished(files, key_type)
        made = _Sending(files, files.new_key, key or generate(key_type or _type_of(pair)), key is None)
        return made.send(content, renewed=pair)


@dataclass(frozen=True, slots=True)
class _Sending:
    """A key, where it lies or is to lie, and whose CSR is to be written."""

    files: Files
    key_path: Path
    key: PrivateKey
    key_is_new: bool

    def send(self, content: _Content, renewed: Pair | None) -> MadeRequest:
        """Write what is not there yet."""
        public_key = self.key.public_key()
        csr_is_new = self.key_is_new or not self._says(content, renewed)
        warning = ""
        if csr_is_new:
            pem = self._csr(content, renewed)
            warning = keep_out_of_git(self.key_path)
            self._write(pem)
        covered = host_names(renewed.leaf) if renewed else content.host_names
        return MadeRequest(
            files=self.files,
            key_path=self.key_path,
            key_type=describe(public_key),
            fingerprint=Fingerprint.of_key(public_key),
            host_names=content.host_names,
            renews=identity_of(renewed.leaf) if renewed else None,
            key_is_new=self.key_is_new,
            csr_is_new=csr_is_new,
            beyond=content.host_names.minus(covered),
            warning=warning,
        )

    def _csr(self, content: _Content, renewed: Pair | None) -> bytes:
        proof = None
        if renewed is not None:
            domain = identity_of(renewed.leaf).trust_domain
            serial = serial_hex(renewed.leaf.serial_number)
            proof = prove(renewed.key, domain, serial, self.key.public_key())
        made = csr.build(
            self.key,
            common_name=content.common_name,
            purposes=sorted(content.purposes, key=lambda oid: oid.dotted_string),
            host_names=content.host_names,
            proof=proof,
        )
        return made.public_bytes(Encoding.PEM)

    def _write(self, csr_pem: bytes) -> None:
        if self.key_is_new:
            write_new(self.key_path, private_pem(self.key))
        try:
            write_atomic(self.files.csr, csr_pem, PUBLIC)
        except BaseException:
            if self.key_is_new:
                self.key_path.unlink(missing_ok=True)
            raise

    def _says(self, content: _Content, renewed: Pair | None) -> bool:
        """Whether ``NAME.csr`` is this key's and says just that already."""
        try:
            there = csr.parse(read_bounded(self.files.csr, csr.MAX_CSR_OCTETS), "")
        except KeysteadError:
            return False
        return (
            there.key_fingerprint == Fingerprint.of_key(self.key.public_key())
            and there.proves_possession
            and _Content(there.common_name or "", there.purposes, there.host_names) == content
            and (there.proof.serial if there.proof else None)
            == (serial_hex(renewed.leaf.serial_number) if renewed else None)
        )


def _left_behind(files: Files) -> PrivateKey | None:
    """The key of a run that was cut short before its CSR; None where nothing is there."""
    if not files.key.exists():
        if files.csr.exists():
            raise AlreadyThere(
                f"{files.csr} is there, without its key {files.key.name}",
                why="it was made elsewhere, or its key was moved; it is not overwritten",
                mend=f"mv {files.csr} {files.csr}.old   (or choose another name)",
            )
        return None
    if files.csr.exists() or files.certificate.exists():
        raise _key_in_the_way(files)
    return _usable(files.key)


def _key_in_the_way(files: Files) -> AlreadyThere:
    again = f"keystead csr {files.name} --dir {files.folder}"
    if files.certificate.exists():
        mend = f"renew its certificate: {again} --renew"
    else:
        mend = f"send the CSR that it has, {files.csr}, to the CA"
    return AlreadyThere(
        f"{files.key} is there, and a key is never overwritten",
        why="what was encrypted to it or certified for it would be lost",
        mend=f"{mend}; or choose another name; or, for a new key: {files.put_aside} && {again}",
    )


def _renewable(files: Files, now: datetime) -> Pair:
    if not files.key.exists() or not (files.certificate.exists() or files.new_certificate.exists()):
        missing = files.certificate if files.key.exists() else files.key
        raise NotThere(
            f"{files.name} cannot be renewed: there is no {missing}",
            why="a renewal is proved by the key of the certificate that is renewed",
            mend=f"keystead csr {files.name} --dir {files.folder}"
            if not files.key.exists()
            else f"have {files.csr} signed, and install what the CA gives back",
            code="nothing-to-renew",
        )
    pair = read_pair(files)
    ended = pair.leaf.not_valid_after_utc
    if ended <= now:
        raise Distrusted(
            f"{files.certificate} cannot be renewed: it ended on {when(ended)}",
            why=f"it is {when(now)}, and an expired certificate proves nothing",
            mend=f"ask anew, with a new key: {asking_anew(files, pair.leaf)}",
            code="expired",
        )
    return pair


def _unfinished(files: Files, key_type: KeyType | None) -> PrivateKey | None:
    """The key of a renewal that was begun; None where none was."""
    if not files.new_key.exists():
        return None
    key = _usable(files.new_key)
    if key_type is not None and _key_type(key) != key_type:
        raise AlreadyThere(
            f"{files.new_key} is there: a renewal with a key of type {describe(key.public_key())} was begun",
            why="one renewal has one key, and a key is never overwritten",
            mend=f"go on with it (without --key-type), or give it up: rm {files.new_key}",
        )
    return key


def _usable(path: Path) -> PrivateKey:
    key = load_private_pem(read_key(path), str(path))
    if weak := weaknesses(key.public_key()):
        raise Refused(f"{path} is too weak to be certified", weak)
    return key


def _type_of(pair: Pair) -> KeyType:
    return _key_type(pair.key) or KeyType.P256


def _key_type(key: PrivateKey) -> KeyType | None:
    try:
        return parse_key_type(describe(key.public_key()).replace(" ", ""))
    except WrongUsage:
        return None


def sans_of(texts: Iterable[str]) -> HostNames | None:
    """The hosts that ``--san`` names, with all of the localhost trio where one is; None for no ``--san``."""
    names = HostNames.of(texts)
    return names.with_local_trio() if names else None
