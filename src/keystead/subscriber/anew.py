"""What a person types to follow a certificate: a renewal while it is good, or a new key for the same.

Not here: deciding that it cannot be renewed (`renewal`, `watch`).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from keystead.errors import KeysteadError
from keystead.machine.files import read_bounded
from keystead.pki.certificates import (
    MAX_CERTIFICATE_OCTETS,
    extended_key_usages,
    host_names,
    load_certificate,
)
from keystead.subscriber.layout import Files
from keystead.subscriber.roles import Role


def asking_anew(files: Files, leaf: x509.Certificate) -> str:
    """The command line that puts the old files aside, and makes a key and a CSR for what ``leaf`` was for."""
    if ExtendedKeyUsageOID.SERVER_AUTH in extended_key_usages(leaf):
        return making_anew(files, Role.SERVER, host_names(leaf).texts)
    return making_anew(files, Role.CLIENT)


def making_anew(files: Files, role: Role, hosts: Iterable[str] = ()) -> str:
    """The command line that puts the old files aside, and makes a key and a CSR for ``role``."""
    profile = " --profile server" if role is Role.SERVER else ""
    sans = "".join(f" --san {shlex.quote(host)}" for host in hosts)
    folder = shlex.quote(str(files.folder))
    return f"{files.put_aside} && keystead csr {files.name}{profile}{sans} --dir {folder}"


def following(files: Files, now: datetime) -> str:
    """What follows the certificate that lies there, and how: it may have ended, or be unreadable."""
    folder = shlex.quote(str(files.folder))
    try:
        leaf = load_certificate(read_bounded(files.certificate, MAX_CERTIFICATE_OCTETS), "")
    except KeysteadError:
        return f"see what is wrong with its certificate: keystead doctor --dir {folder}"
    if leaf.not_valid_after_utc <= now:
        return f"its certificate has ended, so ask anew, with a new key: {asking_anew(files, leaf)}"
    return f"renew its certificate: keystead csr {files.name} --renew --dir {folder}"
