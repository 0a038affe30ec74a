"""Founding an environment: root, issuing CA, both CRLs, an inventory; all of it or nothing.

It is made under another name and renamed into place, so that a kill at any moment leaves no half CA.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.ca import configuration
from keystead.ca.audit.log import append
from keystead.ca.authority.model import Authority, Charter
from keystead.ca.authority.publish import publish
from keystead.ca.claims import Claims
from keystead.ca.configuration import Configuration
from keystead.ca.home import ISSUING, ROOT, Home
from keystead.ca.inventory import writes
from keystead.ca.inventory.rows import Certificate, Issue, Kind
from keystead.ca.inventory.store import create_inventory
from keystead.ca.layout import ANCHOR, CONFIGURATION, INVENTORY, ISSUING_CERTIFICATE, ROOT_CERTIFICATE
from keystead.ca.reliance import open_for_newcomer
from keystead.custody.passphrases import shortness
from keystead.custody.vault import seal_keys, write_unsealed
from keystead.errors import BadInput, WrongUsage
from keystead.machine.clock import Clock, system_clock
from keystead.machine.files import PUBLIC, move_folder, write_new
from keystead.machine.folders import make_private_folder
from keystead.machine.locks import hold
from keystead.machine.secrets import AgeIdentity, Passphrase, Secrets
from keystead.pki.certificates import to_pem
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.issuance import Authorship, Issuer, make_issuing_ca, make_root
from keystead.pki.keys import PrivateKey, generate
from keystead.pki.serials import ENTROPY_OCTETS, make_serial, serial_hex

UNSEALED_ENVIRONMENT = "dev"
"""The one environment whose CA keys may lie unsealed."""

PATIENCE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Founders:
    """The two keys and certificates that a new environment begins with."""

    root_key: PrivateKey
    root: x509.Certificate
    issuing_key: PrivateKey
    issuing: x509.Certificate


def check_sealing(environment: str, *, sealed: bool) -> None:
    """Raise `WrongUsage` where keys are to lie unsealed outside ``dev``."""
    if not sealed and environment != UNSEALED_ENVIRONMENT:
        raise WrongUsage(
            f"the CA keys of {environment!r} cannot lie unsealed",
            why="--no-passphrase is for the environment dev only",
            mend="leave it out and be asked for a passphrase, or give --passphrase-file F",
        )


def found(
    home: Home,
    config: Configuration,
    secrets: Secrets | None,
    *,
    actor: str,
    clock: Clock = system_clock,
) -> str:
    """Make the environment that ``config`` describes; the keys are sealed by ``secrets``, or lie unsealed.

    Gives back a warning of the passphrase, or "". Raises `AlreadyThere` where somebody made it meanwhile,
    `BadInput` for a passphrase that is too short, and what looking for it raises.
    """
    check_sealing(config.environment, sealed=secrets is not None)
    secret = None if secrets is None else secrets.for_sealing(f"the CA keys of {config.environment}")
    warning = _shortness(secret, config.environment)
    make_private_folder(home.path)
    folder = home.folder(config.environment)
    part = home.path / f".{config.environment}.part"
    with hold(home.path / ".init.lock", "making an environment", wait=PATIENCE):
        if part.exists():
            shutil.rmtree(part)  # what a killed `ca init` left: its keys never signed for anybody
        make_private_folder(part)
        try:
            founders = _make_founders(config, clock())
            _store_keys(part, founders, secret)
            _write_files(part, config, founders)
            with open_for_newcomer(home.path) as claims:
                _claim(claims, config.environment, founders)
                _fill_inventory(part, config, founders, claims, actor, clock)
            move_folder(part, folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return warning


def _shortness(secret: Passphrase | AgeIdentity | None, environment: str) -> str:
    """A warning, in ``dev``, of a passphrase that other environments refuse."""
    short = shortness(secret) if isinstance(secret, Passphrase) else ""
    if not short:
        return ""
    if environment == UNSEALED_ENVIRONMENT:
        return f"the passphrase of the CA keys is short: {short} elsewhere"
    raise BadInput(
        f"the passphrase is too short to guard the CA keys of {environment}",
        why=f"{short}: whoever gets at the sealed keys tries passphrases for as long as they like",
        mend="choose a longer one, such as four words that have nothing to do with each other",
        code="short-passphrase",
    )


def _make_founders(config: Configuration, now: datetime) -> Founders:
    root_key, issuing_key = generate(config.key_type), generate(config.key_type)
    root = make_root(config.organization, config.trust_domain, root_key, serial=_serial(), now=now)
    issuing = make_issuing_ca(
        config.organization,
        config.trust_domain,
        issuing_key.public_key(),
        Issuer(root, root_key, Authorship(config.public_url)),
        serial=_serial(),
        now=now,
    )
    return Founders(root_key, root, issuing_key, issuing)


def _serial() -> int:
    return make_serial(os.urandom(ENTROPY_OCTETS))


def _write_files(part: Path, config: Configuration, founders: Founders) -> None:
    for name, data in (
        (CONFIGURATION, configuration.encode(config)),
        (ROOT_CERTIFICATE, to_pem(founders.root)),
        (ISSUING_CERTIFICATE, to_pem(founders.issuing)),
        (ANCHOR, to_pem(founders.root)),
    ):
        write_new(part / name, data, PUBLIC)


def _claim(claims: Claims, environment: str, founders: Founders) -> None:
    keys = (founders.root.public_key(), founders.issuing.public_key())
    claims.claim([Fingerprint.of_key(key).hex for key in keys], environment)


def _fill_inventory(
    part: Path, config: Configuration, founders: Founders, claims: Claims, actor: str, clock: Clock
) -> None:
    now = clock()
    charter = Charter(configuration=config, folder=part, root=founders.root, issuing=founders.issuing)
    root_serial = serial_hex(founders.root.serial_number)
    with create_inventory(part / INVENTORY) as inventory:
        authority = Authority(
            charter=charter,
            inventory=inventory,
            claims=claims,
            clock=clock,
            entropy=os.urandom,
            actor=actor,
        )
        rows = (
            _row(founders.root, Kind.ROOT, root_serial, now),
            _row(founders.issuing, Kind.ISSUING, root_serial, now),
        )
        with inventory.writing() as tx:
            writes.record(tx, [Issue(row) for row in rows])
            append(tx, [authority.entry("ca.init", now, "ok", serial=row.serial) for row in rows])
        publish(authority, _issuers(founders, charter.authorship))


def _issuers(founders: Founders, authorship: Authorship) -> Sequence[Issuer]:
    return (
        Issuer(founders.issuing, founders.issuing_key, authorship),
        Issuer(founders.root, founders.root_key, authorship),
    )


def _row(certificate: x509.Certificate, kind: Kind, issuer_serial: str, now: datetime) -> Certificate:
    return Certificate(
        serial=serial_hex(certificate.serial_number),
        kind=kind,
        profile=kind.value,
        name=kind.value,
        key_fingerprint=Fingerprint.of_key(certificate.public_key()).hex,
        csr_fingerprint=None,
        wishes=None,
        sans=(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        issuer_serial=issuer_serial,
        renews=None,
        issued_at=now,
        der=certificate.public_bytes(Encoding.DER),
    )


def _store_keys(part: Path, founders: Founders, secret: Passphrase | AgeIdentity | None) -> None:
    if secret is not None:
        seal_keys(part, {ROOT: founders.root_key, ISSUING: founders.issuing_key}, secret)
        return
    write_unsealed(part, ROOT, founders.root_key)
    write_unsealed(part, ISSUING, founders.issuing_key)
