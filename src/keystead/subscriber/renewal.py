"""Asking for a renewal: a new key beside the one in use, and a CSR with the proof by the old one.

Not here: the request of a new subscriber (`request`), and the swap once the CA has answered (`install`).
"""

from __future__ import annotations

import shlex
from datetime import datetime

from keystead.errors import AlreadyThere, Distrusted, NotThere, WrongUsage
from keystead.machine.locks import hold
from keystead.pki.certificates import extended_key_usages, host_names, identity_of
from keystead.pki.expiry import when
from keystead.pki.keys import KeyType, PrivateKey, describe, generate, parse_key_type
from keystead.pki.names import HostNames
from keystead.pki.renewal import prove
from keystead.pki.serials import serial_hex
from keystead.subscriber.anew import asking_anew
from keystead.subscriber.keyfile import certifiable_key
from keystead.subscriber.layout import Files, Folder
from keystead.subscriber.pair import Pair, read_pair
from keystead.subscriber.sending import Content, MadeRequest, Renewed, Sending


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
        begun = _unfinished(files, key_type)
        key = begun or generate(key_type or _type_of(pair))
        renewed = _renewed(pair, key)
        wanted = renewed.host_names if sans is None else sans
        content = Content(renewed.identity.name, extended_key_usages(pair.leaf), wanted)
        return Sending(files, files.new_key, key, begun is None).send(content, renewed)


def _renewed(pair: Pair, new_key: PrivateKey) -> Renewed:
    identity = identity_of(pair.leaf)
    serial = serial_hex(pair.leaf.serial_number)
    proof = prove(pair.key, identity.trust_domain, serial, new_key.public_key())
    return Renewed(identity, host_names(pair.leaf), proof)


def _renewable(files: Files, now: datetime) -> Pair:
    if not files.key.exists() or not (files.certificate.exists() or files.new_certificate.exists()):
        missing = files.certificate if files.key.exists() else files.key
        raise NotThere(
            f"{files.name} cannot be renewed: there is no {missing}",
            why="a renewal is proved by the key of the certificate that is renewed",
            mend=f"keystead csr {files.name} --dir {shlex.quote(str(files.folder))}"
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
    key = certifiable_key(files.new_key)
    if key_type is not None and _key_type(key) != key_type:
        raise AlreadyThere(
            f"{files.new_key} is there: a renewal with a key of type {describe(key.public_key())} was begun",
            why="one renewal has one key, and a key is never overwritten",
            mend=f"go on with it (without --key-type), or give it up: rm {shlex.quote(str(files.new_key))}",
        )
    return key


def _type_of(pair: Pair) -> KeyType:
    return _key_type(pair.key) or KeyType.P256


def _key_type(key: PrivateKey) -> KeyType | None:
    try:
        return parse_key_type(describe(key.public_key()).replace(" ", ""))
    except WrongUsage:
        return None
