"""Opens HOME/ENV and gives an Authority.

Not here: making an environment (`founding`), and what is done with it (`authority`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from keystead.ca import configuration
from keystead.ca.authority.model import Authority, Books, Charter
from keystead.ca.inventory.store import open_inventory
from keystead.ca.layout import (
    CLAIMS,
    CONFIGURATION,
    INVENTORY,
    ISSUING_CERTIFICATE,
    ROOT_CERTIFICATE,
    places,
)
from keystead.ca.reliance import open_relied_on
from keystead.custody.vault import open_key, open_keys
from keystead.errors import BadInput, NotThere
from keystead.machine.clock import Clock, system_clock
from keystead.machine.files import check_unwritable, read_bounded
from keystead.machine.oserrors import told
from keystead.machine.secrets import Secrets
from keystead.pki.certificates import (
    MAX_CERTIFICATE_OCTETS,
    has_key,
    load_certificate,
    trust_domain_of_ca,
)
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.issuance import Issuer
from keystead.pki.keys import PrivateKey
from keystead.pki.names import check_environment

ROOT = "root"
ISSUING = "issuing"


@dataclass(frozen=True, slots=True)
class Home:
    """A CA machine's home: an environment a folder, and ``keys.db`` for all of them."""

    path: Path

    def folder(self, environment: str) -> Path:
        """Where an environment lies, or would."""
        return self.path / check_environment(environment)

    @property
    def claims(self) -> Path:
        """Which environment each key belongs to."""
        return self.path / CLAIMS

    @property
    def environments(self) -> tuple[str, ...]:
        """Those that there are, by name."""
        with told(self.path, "read"):
            return tuple(
                sorted(place.name for place in places(self.path) if (place / CONFIGURATION).exists())
            )


def read_charter(home: Home, environment: str) -> Charter:
    """What the files say of the CA of ``environment``.

    Raises `NotThere`, naming the environments that there are, where it was never made, and `Unavailable`
    where other accounts could have changed it.
    """
    folder = home.folder(environment)
    with told(folder, "read"):
        is_there = (folder / CONFIGURATION).exists()
    if not is_there:
        raise _no_environment(home, environment)
    for path in (home.path, folder, folder / CONFIGURATION):
        check_unwritable(path)
    config = configuration.decode(
        read_bounded(folder / CONFIGURATION, configuration.MAX_OCTETS), str(folder / CONFIGURATION)
    )
    charter = Charter(
        configuration=config,
        folder=folder,
        root=_certificate(folder / ROOT_CERTIFICATE),
        issuing=_certificate(folder / ISSUING_CERTIFICATE),
    )
    _check_agreement(charter, environment)
    return charter


def _check_agreement(charter: Charter, environment: str) -> None:
    """A copied folder or an edited ``ca.toml`` would certify for one environment in the name of another."""
    says = {charter.trust_domain, trust_domain_of_ca(charter.root), trust_domain_of_ca(charter.issuing)}
    if len(says) > 1 or charter.environment != environment:
        raise BadInput(
            f"{charter.folder} is not the environment {environment!r}",
            why=f"its ca.toml, root.crt and issuing.crt say: {', '.join(sorted(map(str, says)))}",
            mend="bring the folder back from its backup, under its own name",
            code="bad-config",
        )


@contextmanager
def open_books(charter: Charter) -> Iterator[Books]:
    """What the CA that ``charter`` describes has recorded, open for the time of the body, to be looked at.

    Unlike `open_authority`, it does without ``keys.db``.
    """
    with open_inventory(charter.folder / INVENTORY) as inventory:
        yield Books(charter, inventory)


@contextmanager
def open_authority(
    home: Home, charter: Charter, *, actor: str, clock: Clock = system_clock
) -> Iterator[Authority]:
    """The CA that ``charter`` describes, open for the time of the body.

    ``actor`` is the audit log's "who". Raises `NotThere` where ``keys.db`` is lost: whose a key is, and
    whether it is barred, is not known then.
    """
    inventory_path = charter.folder / INVENTORY
    with open_relied_on(home.path, charter) as claims, open_inventory(inventory_path) as inventory:
        yield Authority(
            charter=charter,
            inventory=inventory,
            claims=claims,
            clock=clock,
            entropy=os.urandom,
            actor=actor,
        )


def open_issuer(charter: Charter, secrets: Secrets) -> Issuer:
    """The issuing CA with its key; asks ``secrets`` where the key is sealed.

    Raises `BadInput` (``key-mismatch``) where the key is not its certificate's: nobody could verify what it
    signs.
    """
    key = open_key(charter.folder, ISSUING, secrets)
    check_fits(charter.folder, ISSUING, charter.issuing, key)
    return Issuer(charter.issuing, key, charter.authorship)


def open_both(charter: Charter, secrets: Secrets) -> tuple[Issuer, Issuer]:
    """The issuing CA and the root with their keys, for one passphrase. Raises as `open_issuer` does."""
    issuing, root = open_keys(charter.folder, (ISSUING, ROOT), secrets)
    check_fits(charter.folder, ISSUING, charter.issuing, issuing)
    check_fits(charter.folder, ROOT, charter.root, root)
    return (
        Issuer(charter.issuing, issuing, charter.authorship),
        Issuer(charter.root, root, charter.authorship),
    )


def check_fits(folder: Path, stem: str, certificate: x509.Certificate, key: PrivateKey) -> None:
    """Raise `BadInput`, naming both files in ``folder``, unless ``key`` is that of ``certificate``."""
    public_key = key.public_key()
    if not has_key(certificate, public_key):
        raise BadInput(
            f"the key {folder / stem}.key does not belong to {folder / stem}.crt",
            why=f"the key has the fingerprint {Fingerprint.of_key(public_key)}, and the certificate binds"
            f" {Fingerprint.of_key(certificate.public_key())}",
            mend=f"put both back from one backup: keystead ca restore BACKUP --only {stem}.key"
            f" --only {stem}.crt",
            code="key-mismatch",
        )


def _certificate(path: Path) -> x509.Certificate:
    return load_certificate(read_bounded(path, MAX_CERTIFICATE_OCTETS), str(path))


def _no_environment(home: Home, environment: str) -> NotThere:
    there = ", ".join(home.environments)
    make = f"keystead ca init --env {environment}{' --org ORG' if environment == 'prod' else ''}"
    return NotThere(
        f"there is no environment {environment!r} in {home.path}",
        why=f"there is: {there}" if there else "no CA was made there yet",
        mend=f"name another (--env, --home), or make it: {make}"
        if there
        else f"type this on the CA's machine (or name its --home); to make a CA here: {make};"
        " to bring one back: keystead ca restore BACKUP --crl crl.pem",
        code="no-environment",
    )
