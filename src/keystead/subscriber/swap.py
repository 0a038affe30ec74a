"""Putting a certificate in place: for a renewal together with its key, and so that a kill leaves a pair.

The order of a renewal: ``NAME.new.crt``, durable; ``NAME.new.key`` → ``NAME.key``; ``NAME.new.crt`` →
``NAME.crt``. Killed before the first rename, the old pair is whole and `install` may run again; killed
after it, `pair.read_pair` finds the key's certificate under its new name and finishes. Not here: whether
the certificate deserves it (`install`).
"""

from __future__ import annotations

from keystead.errors import NotThere
from keystead.machine.files import PUBLIC, move_file, write_atomic
from keystead.subscriber.layout import Files


def put(files: Files, chain_pem: bytes) -> None:
    """Make ``chain_pem`` the certificate of the key in use; durable on return."""
    write_atomic(files.certificate, chain_pem, PUBLIC)


def swap(files: Files, chain_pem: bytes) -> None:
    """Make the renewal's key, and ``chain_pem``, the pair in use; durable on return."""
    write_atomic(files.new_certificate, chain_pem, PUBLIC)
    move_file(files.new_key, files.key)
    try:
        move_file(files.new_certificate, files.certificate)
    except NotThere:
        return  # a reader came between the renames and finished
