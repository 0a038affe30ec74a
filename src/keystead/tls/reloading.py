"""Where a server's material comes from, read again when it changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keystead.tls.contexts import ServerCredentials


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """Where credentials and CRLs come from.

    ``load`` reads and checks the folder and gives a `ServerCredentials`, or raises a `KeysteadError`; it is
    called at the start, and on a thread whenever one of ``files`` has changed. ``crl`` is the file of the
    revocation lists (PEM, one of each CA), which the door reads and watches by itself; the highest numbers
    seen are remembered beside it.
    """

    load: Callable[[], ServerCredentials]
    files: tuple[Path, ...]
    crl: Path
