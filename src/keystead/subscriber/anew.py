"""What a person types to ask anew for what a certificate was, where it can no longer be renewed.

Not here: deciding that it cannot (`request`, `watch`).
"""

from __future__ import annotations

import shlex

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from keystead.pki.certificates import extended_key_usages, host_names
from keystead.subscriber.layout import Files


def asking_anew(files: Files, leaf: x509.Certificate) -> str:
    """The command line that puts the old files aside, and makes a key and a CSR for what ``leaf`` was for."""
    wishes = ""
    if ExtendedKeyUsageOID.SERVER_AUTH in extended_key_usages(leaf):
        hosts = "".join(f" --san {shlex.quote(host)}" for host in host_names(leaf).texts)
        wishes = f" --profile server{hosts}"
    return f"{files.put_aside} && keystead csr {files.name}{wishes} --dir {shlex.quote(str(files.folder))}"
