"""Opening ``keys.db`` as what environments rely on: beside one of them it is never made anew.

Anew, it would know no key's holder, and none that is barred. Not here: the file itself (`claims`), and
making it anew on purpose (`procedures.claiming`).
"""

from __future__ import annotations

import shlex
from pathlib import Path

from keystead.ca.authority.model import Charter
from keystead.ca.claims import COMPROMISED, Claims, create_claims, open_claims
from keystead.ca.layout import CLAIMS, CONFIGURATION, INVENTORY, ROOT_CERTIFICATE, places
from keystead.errors import NotThere
from keystead.machine.oserrors import told
from keystead.pki.fingerprints import Fingerprint

_TRACES = (INVENTORY, CONFIGURATION, ROOT_CERTIFICATE)
"""Any of them in a folder says that an environment is, or was, there."""


def inhabitants(home: Path) -> tuple[str, ...]:
    """The environments in ``home`` by name, those that have lost files included."""
    with told(home, "read"):
        found = (place.name for place in places(home) if any((place / name).exists() for name in _TRACES))
        return tuple(sorted(found))


def open_relied_on(home: Path, charter: Charter) -> Claims:
    """The claims that the environment of ``charter`` relies on; they hold its own keys at the least.

    Raises `NotThere` where they are lost, or of another home, and `BadInput` where the file is damaged.
    """
    path = home / CLAIMS
    try:
        claims = open_claims(path)
    except NotThere as error:
        raise _lost(path, charter.environment, error.what) from error
    own = Fingerprint.of_key(charter.issuing.public_key()).hex
    try:
        holder = claims.holders([own]).get(own)
        if holder not in (charter.environment, COMPROMISED):
            raise _lost(path, charter.environment, f"{path} does not hold the keys of {charter.environment}")
    except BaseException:
        claims.close()
        raise
    return claims


def open_for_newcomer(home: Path) -> Claims:
    """The claims for an environment that is about to come into ``home``; made for the first one alone.

    Raises `NotThere` where others are there and have lost them.
    """
    path = home / CLAIMS
    others = inhabitants(home)
    if not others:
        return create_claims(path)  # also what a killed `ca init` left of it
    try:
        return open_claims(path)
    except NotThere as error:
        raise _lost(path, others[0], error.what) from error


def _lost(path: Path, environment: str, what: str) -> NotThere:
    place = f"--env {environment} --home {shlex.quote(str(path.parent))}"
    return NotThere(
        what,
        why="it says whose each key is and which are barred: without it those would be signed",
        mend=f"keystead ca restore BACKUP --only {path.name} {place}"
        f"; without a backup: keystead ca audit --rebuild-keys {place}",
        code="no-claims",
    )
