"""What `ca backup` and `ca restore` share: what seals an archive and opens it, and how it is told of."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from keystead.ca.founding import UNSEALED_ENVIRONMENT
from keystead.ca.procedures.landing import Source
from keystead.ca.procedures.manifest import Manifest
from keystead.ca.procedures.restore import Restored
from keystead.cli.ca.group import Place
from keystead.cli.say import note, say, warn
from keystead.custody.envelope import wants_passphrase
from keystead.custody.passphrases import shortness
from keystead.custody.recipients import Opener, Recipients, handed_over, parse_recipients, read_opener
from keystead.errors import BadInput, Unavailable
from keystead.machine.oserrors import told
from keystead.machine.secrets import Passphrase, Secrets, terminal
from keystead.pki.expiry import when
from keystead.pki.fingerprints import Fingerprint

Command = TypeVar("Command", bound=Callable[..., Any])

VARIABLE = "KEYSTEAD_ARCHIVE_PASSPHRASE_FILE"

_LARGE = 10_000
_A_SECOND = 3_000
"""Certificates that are verified in one, about."""


def passphrase_file(command: Command) -> Command:
    """``--archive-passphrase-file``: the archive's own passphrase, which is not the CA keys'."""
    return click.option(
        "--archive-passphrase-file",
        type=click.Path(readable=False, path_type=Path),
        help=f"Read the archive's passphrase from this file (0600).  [{VARIABLE}]",
    )(command)


def identity(command: Command) -> Command:
    """``--identity``: what opens an archive that was sealed to recipients."""
    return click.option(
        "--identity",
        type=click.Path(readable=False, path_type=Path),
        help="What opens an archive that has recipients: an age identity, or an SSH private key.",
    )(command)


def sealing(recipients: Sequence[str], file: Path | None, environment: str) -> Recipients | Passphrase:
    """What a new archive is sealed to: the recipients that were named, else a passphrase."""
    if recipients:
        return parse_recipients(recipients)
    passphrase = _secrets(file, "a new archive").for_sealing(f"the archive of {environment}")
    assert isinstance(passphrase, Passphrase)  # no credential is looked for
    if (short := shortness(passphrase)) and environment == UNSEALED_ENVIRONMENT:
        warn(f"the archive's passphrase is short: {short} elsewhere")
    elif short:
        raise BadInput(
            f"the passphrase is too short to guard an archive of {environment}",
            why=f"{short}: whoever gets at the archive tries passphrases for as long as they like",
            mend="choose a longer one, such as four words that have nothing to do with each other",
            code="short-passphrase",
        )
    return passphrase


def source(place: Place, archive: Path, identity_file: Path | None, file: Path | None) -> Source:
    """The archive with what opens it, looked for where such secrets are."""
    with told(archive, "read"), archive.open("rb") as opened:
        by_passphrase = wants_passphrase(opened, str(archive))
    by: Opener | Passphrase
    if by_passphrase:
        by = _secrets(file, str(archive)).passphrase(f"the archive {archive}")
    elif identity_file is not None:
        by = read_opener(identity_file)
    else:
        by = _handed_over(archive)
    return Source(archive, by, place.named_environment)


def _secrets(file: Path | None, purpose: str) -> Secrets:
    named = file or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is None and terminal() is None:
        raise Unavailable(
            f"a passphrase is needed for {purpose}, and there is no terminal to ask at",
            mend=f"name a file that only you can read: --archive-passphrase-file FILE or {VARIABLE}=FILE;"
            " a backup can be sealed to a key instead: --recipient age1…",
            code="no-passphrase",
        )
    return Secrets({}, named, terminal())


def _handed_over(archive: Path) -> Opener:
    found = Secrets(os.environ).identity()
    if found is None:
        raise Unavailable(
            f"{archive} is sealed to recipients, and no identity is named that opens it",
            mend="name the secret half of one: --identity FILE (an age identity or an SSH private key)",
            code="no-age-identity",
        )
    return handed_over(found)


def announce(manifest: Manifest) -> None:
    """The first line of a restore, as soon as the archive says what it is of; and what it will take."""
    say(f"environment {manifest.environment} · root {Fingerprint(bytes.fromhex(manifest.root))}")
    note(
        f"a backup made {when(manifest.made)} by {manifest.by}:"
        f" {counted(manifest.certificates, 'certificate')}, {counted(manifest.revocations, 'revocation')}"
    )
    if manifest.certificates > _LARGE:
        minutes = manifest.certificates / _A_SECOND / 60
        note(
            f"each of them is verified: that takes some {minutes:.0f} minutes"
            if minutes > 1
            else "verifying …"
        )


def proofs(restored: Restored) -> list[tuple[str, str]]:
    """What a restore has proved, as labelled lines."""
    manifest = restored.manifest
    keys = " and ".join(restored.keys)
    return [
        ("archive", "whole: every octet is authentic, every file has its digest"),
        ("CA", "root and issuing CA are one chain, of one trust domain"),
        ("keys", f"{keys}: a test signature by each, which its certificate verified"),
        (
            "certificates",
            f"{manifest.certificates:,}: each signed by this CA, and recorded as it says itself",
        ),
        ("audit log", f"whole: {manifest.audit.entries:,} entries, root {manifest.audit.root}"),
        ("as of", when(manifest.audit.newest)),
    ]


def counted(number: int, noun: str) -> str:
    """``1 revocation``, ``1,234 revocations``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
