"""A client's folder, as it lies on a disk, for tests of the client's side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cryptography import x509

from keystead.pki.certificates import identity_of, to_pem
from keystead.pki.revocation import crl_to_pem
from keystead.tls.client import ClientCredentials
from tests.tls.throwaway import Environment, Pair

Crls = Iterable[x509.CertificateRevocationList]


def credentials(
    folder: Path, environment: Environment, pair: Pair, crls: Crls | None, *more_anchors: x509.Certificate
) -> ClientCredentials:
    """``pair`` and what belongs to it, written to ``folder``."""
    anchors = (environment.root.certificate, *more_anchors)
    lists = None if crls is None else tuple(crls)
    own = ClientCredentials(
        identity=identity_of(pair.certificate),
        certificate_path=folder / "alice.crt",
        key_path=folder / "alice.key",
        ca_path=folder / "ca.crt",
        crl_path=folder / "crl.pem",
        chain=(pair.certificate, *pair.above),
        anchors=anchors,
        crls=lists,
    )
    own.certificate_path.write_bytes(pair.chain_pem)
    own.key_path.write_bytes(pair.key_pem)
    own.key_path.chmod(0o600)
    own.ca_path.write_bytes(to_pem(*anchors))
    if lists is not None:
        own.crl_path.write_bytes(crl_to_pem(*lists))
    return own
