"""``keystead dev``: a CA, a server's and a client's files for local testing, with CSRs underneath.

The same calls as on three machines, in one folder: request, sign, install. Not here: serving and uploading,
which the person does next.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from cryptography import x509

from keystead.ca import configuration, inbox
from keystead.ca.authority import batch
from keystead.ca.authority.bench import LocalBench
from keystead.ca.authority.model import Authority, Charter, Rejected
from keystead.ca.configuration import Configuration
from keystead.ca.founding import found
from keystead.ca.handout import LocalClerk, Parcel
from keystead.ca.home import Home, open_authority, open_issuer, read_charter
from keystead.ca.inventory import reads
from keystead.ca.layout import ANCHOR, LISTS
from keystead.errors import AlreadyThere, KeysteadError
from keystead.machine.clock import Clock, system_clock
from keystead.machine.files import PUBLIC, write_atomic
from keystead.machine.folders import make_private_folder
from keystead.machine.secrets import Secrets
from keystead.pki.facts import Wishes
from keystead.pki.keys import KeyType
from keystead.pki.names import HostNames, TrustDomain
from keystead.pki.serials import serial_hex
from keystead.subscriber.folder import read_anchors
from keystead.subscriber.hostnames import own_names
from keystead.subscriber.install import Wish, install
from keystead.subscriber.layout import Files, Folder
from keystead.subscriber.pair import read_pair
from keystead.subscriber.renewal import renew
from keystead.subscriber.request import request
from keystead.subscriber.roles import Role

ENVIRONMENT = "dev"
ORGANIZATION = "local development"
DOMAIN = "local-development.internal"

NAMES = {Role.SERVER: "server", Role.CLIENT: "client"}


class Became(StrEnum):
    """What `prepare` did for one identity."""

    NEW = "made"
    RENEWED = "renewed"
    KEPT = "good already"


@dataclass(frozen=True, slots=True)
class Prepared:
    """One identity that is ready: its files, and what was done for it."""

    role: Role
    files: Files
    not_after: datetime
    became: Became


def home_of(folder: Folder) -> Home:
    """Where the development CA of a folder lies: inside it, so that it can be thrown away with it."""
    return Home(folder.path / "dev-ca")


def prepare(folder: Folder, *, actor: str, clock: Clock = system_clock) -> Iterator[Prepared]:
    """Make or refresh the development CA in ``folder``, and a server's and a client's files under it.

    Raises `AlreadyThere`, before anything is changed, where the folder belongs to another environment.
    """
    home = home_of(folder)
    make_private_folder(folder.path)
    _refuse_another(folder, home)
    if ENVIRONMENT not in home.environments:
        found(home, _configuration(), None, actor=actor, clock=clock)
    charter = read_charter(home, ENVIRONMENT)
    with open_authority(home, charter, actor=actor, clock=clock) as authority:
        for role, name in NAMES.items():
            yield _ready(authority, folder, role, name, clock)
    _put_back(folder, charter)


def _configuration() -> Configuration:
    return Configuration(
        organization=ORGANIZATION,
        trust_domain=TrustDomain.of(ENVIRONMENT, DOMAIN),
        key_type=KeyType.P256,
        public_url=None,
        profiles=configuration.shipped_profiles(),
    )


def _refuse_another(folder: Folder, home: Home) -> None:
    foreign = [name for name in home.environments if name != ENVIRONMENT]
    if foreign:
        raise _belongs_to(folder, f"its CA holds the environment {foreign[0]!r}")
    if not folder.ca.exists():
        return
    anchors = read_anchors(folder.ca)
    own = read_charter(home, ENVIRONMENT).root if ENVIRONMENT in home.environments else None
    if own is None or anchors != (own,):
        raise _belongs_to(folder, f"{folder.ca} is not the anchor of a CA that `keystead dev` made there")


def _belongs_to(folder: Folder, why: str) -> AlreadyThere:
    return AlreadyThere(
        f"the folder {folder.path} belongs to another environment, which `keystead dev` does not touch",
        why=why,
        mend="choose another folder: keystead dev --dir DIR",
        code="another-environment",
    )


def _put_back(folder: Folder, charter: Charter) -> None:
    """Whom to trust, and who is revoked, where somebody has removed that from the folder."""
    for path, name in ((folder.ca, ANCHOR), (folder.crl, LISTS)):
        if not path.exists():
            write_atomic(path, (charter.folder / name).read_bytes(), PUBLIC)


def _ready(authority: Authority, folder: Folder, role: Role, name: str, clock: Clock) -> Prepared:
    files = folder.files(name)
    became = _ask(authority, folder, role, name, clock())
    if became is not Became.KEPT:
        _answer(authority, folder, files, role, clock())
    leaf = read_pair(files).leaf
    return Prepared(role, files, leaf.not_valid_after_utc, became)


def _ask(authority: Authority, folder: Folder, role: Role, name: str, now: datetime) -> Became:
    """See to it that a CSR lies there, unless the certificate is good for long enough."""
    files = folder.files(name)
    if files.certificate.exists():
        try:
            leaf = read_pair(files).leaf
        except KeysteadError as error:  # a key that is gone, above all
            raise _started_over(error, folder) from None
        life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
        is_good = leaf.not_valid_after_utc > now and not _is_revoked(authority, leaf)
        if is_good and (leaf.not_valid_after_utc - now) * 3 > life:
            return Became.KEPT
        if is_good:
            renew(folder, name, None, None, now)
            return Became.RENEWED
        # Nothing can be proved by it any more, and nothing of development is worth keeping.
        for path in (files.certificate, files.csr, files.key, files.new_key):
            path.unlink(missing_ok=True)
    if not (files.key.exists() and files.csr.exists()):
        request(folder, name, role, own_names().host_names if role is Role.SERVER else HostNames())
    return Became.NEW


def _is_revoked(authority: Authority, leaf: x509.Certificate) -> bool:
    with authority.inventory.reading() as tx:
        found = reads.certificate(tx, serial_hex(leaf.serial_number))
    return found is not None and found.revocation is not None


def _answer(authority: Authority, folder: Folder, files: Files, role: Role, now: datetime) -> None:
    """Sign the CSR and install what comes back, as if it had travelled."""
    charter = authority.charter
    arrivals = inbox.read([files.csr], Wishes(profile=role.value))
    bench = LocalBench(charter.configuration.profiles, lambda: open_issuer(charter, Secrets(environ={})))
    outcomes = [outcome for group in batch.sign(authority, bench, arrivals) for outcome in group]
    (outcome,) = outcomes
    if isinstance(outcome, Rejected):
        raise _started_over(outcome.error, folder)
    outbox = charter.folder / "handed-out"
    make_private_folder(outbox)
    clerk = LocalClerk(charter, {outcome.source: outbox})
    (handed,) = clerk.hand_out([Parcel.of(outcome)])
    clerk.settle()
    install(folder, Wish(Path(handed.bundle)), now)


def _started_over(error: KeysteadError, folder: Folder) -> KeysteadError:
    return KeysteadError(
        error.what,
        why=error.why,
        mend=f"nothing of development is worth mending: rm -r {shlex.quote(str(folder.path))}; keystead dev",
        code=error.code,
    )
