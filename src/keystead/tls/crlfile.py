"""The file of the revocation lists, and beside it the highest number of each issuer that was ever in force.

The numbers survive a restart, so that an older list can never come back and let a revoked client in. Not
here: which list may replace which (`tls.crls`), and when to look (`tls.reloading`).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from keystead.errors import BadInput, NotThere
from keystead.machine.files import read_bounded, write_atomic
from keystead.machine.locks import hold
from keystead.pki.revocation import MAX_CRL_OCTETS, load_signed_lists
from keystead.pki.signedlists import Pause, SignedList, no_pause

MAX_NUMBERS_FILE = 64 * 1024


class CrlFile:
    """``path`` holds the lists; the numbers lie in ``.NAME.numbers`` in the same folder, as JSON."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.numbers_path = path.with_name(f".{path.name}.numbers")

    def read(self, pause: Pause = no_pause) -> tuple[SignedList, ...]:
        """The lists; raises a `KeysteadError` where there is no file or it cannot be read."""
        try:
            return load_signed_lists(read_bounded(self.path, MAX_CRL_OCTETS), str(self.path), pause)
        except NotThere:
            raise NotThere(
                f"there is no revocation list at {self.path}",
                why="without one a revoked certificate would get in",
                mend="bring crl.pem from the CA, where it is made by: keystead ca crl --out crl.pem",
                code="crl-missing",
            ) from None

    def numbers(self) -> dict[bytes, int]:
        """Issuer's key identifier → highest number; empty at the first start. Raises `BadInput`."""
        try:
            members = json.loads(read_bounded(self.numbers_path, MAX_NUMBERS_FILE))
            return {bytes.fromhex(issuer): int(number) for issuer, number in members.items()}
        except NotThere:
            return {}
        except (ValueError, AttributeError, TypeError, OverflowError, RecursionError):
            raise BadInput(
                f"{self.numbers_path} cannot be read",
                why="it remembers the newest revocation lists, so that an older one is noticed",
                mend=f"make sure that {self.path} is the newest, then:"
                f" rm {shlex.quote(str(self.numbers_path))}",
                code="bad-crl-numbers",
            ) from None

    def remember(self, numbers: Mapping[bytes, int]) -> None:
        """Raise the remembered numbers to ``numbers``; none is ever lowered. Raises a `KeysteadError`.

        Several servers, or workers of one, may do so at once: the numbers are read again under a lock.
        """
        before = self.numbers()
        if _raised(before, numbers) == before:
            return
        with hold(self.numbers_path.with_name(f"{self.numbers_path.name}.lock"), "keystead serve"):
            before = self.numbers()
            after = _raised(before, numbers)
            if after != before:
                members = {issuer.hex(): number for issuer, number in sorted(after.items())}
                write_atomic(self.numbers_path, json.dumps(members, indent=1).encode() + b"\n")


def _raised(before: Mapping[bytes, int], numbers: Mapping[bytes, int]) -> dict[bytes, int]:
    return {**before, **{issuer: max(number, before.get(issuer, 0)) for issuer, number in numbers.items()}}
