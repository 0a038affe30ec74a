"""Asking for a certificate: the key and the CSR of a new subscriber. The key is born here, and stays.

Not here: following a certificate that is good (`renewal`), and the CA's answer (`install`).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from datetime import datetime

from keystead.errors import AlreadyThere
from keystead.machine.clock import Clock, system_clock
from keystead.machine.folders import make_private_folder
from keystead.machine.locks import hold
from keystead.pki.keys import KeyType, PrivateKey, generate
from keystead.pki.names import HostNames
from keystead.subscriber.keyfile import certifiable_key
from keystead.subscriber.layout import Files, Folder
from keystead.subscriber.roles import Role
from keystead.subscriber.sending import Content, MadeRequest, Sending


def request(
    folder: Folder,
    name: str,
    role: Role,
    sans: HostNames,
    key_type: KeyType = KeyType.P256,
    *,
    clock: Clock = system_clock,
) -> MadeRequest:
    """Make ``NAME.key`` and ``NAME.csr`` in ``folder``, which is made where missing.

    A key without CSR and certificate, as a killed run leaves one, gets its CSR. Raises `AlreadyThere` where
    a key, or a CSR without its key, is there; nothing is changed then.
    """
    files = folder.files(name)
    content = Content(name, frozenset({role.purpose}), sans)
    make_private_folder(folder.path)
    with hold(folder.lock, f"keystead csr {name}"):
        key = _left_behind(files, clock)
        made = Sending(files, files.key, key or generate(key_type), key is None)
        return made.send(content, renewed=None)


def _left_behind(files: Files, clock: Clock) -> PrivateKey | None:
    """The key of a run that was cut short before its CSR; None where nothing is there."""
    if not files.key.exists():
        if files.csr.exists():
            csr = shlex.quote(str(files.csr))
            raise AlreadyThere(
                f"{files.csr} is there, without its key {files.key.name}",
                why="it was made elsewhere, or its key was moved; it is not overwritten",
                mend=f"mv {csr} {csr}.old   (or choose another name)",
            )
        return None
    if files.csr.exists() or files.certificate.exists():
        raise _key_in_the_way(files, clock())
    return certifiable_key(files.key)


def _key_in_the_way(files: Files, now: datetime) -> AlreadyThere:
    if files.certificate.exists():
        from keystead.subscriber.anew import following  # noqa: PLC0415  only who is in the way pays for it

        mend = following(files, now)
    else:
        mend = f"send the CSR that it has, {files.csr}, to the CA"
    return AlreadyThere(
        f"{files.key} is there, and a key is never overwritten",
        why="what was encrypted to it or certified for it would be lost",
        mend=f"{mend}; or choose another name; or put them aside first: {files.put_aside}",
    )


def sans_of(texts: Iterable[str]) -> HostNames | None:
    """The hosts that ``--san`` names, with all of the localhost trio where one is; None for no ``--san``."""
    names = HostNames.of(texts)
    return names.with_local_trio() if names else None
