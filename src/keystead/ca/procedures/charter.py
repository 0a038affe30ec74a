"""Whether the CA in an archive is one: its files agree, its chain holds, and its keys are its own.

Not here: its inventory (`soundness`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography import x509

from keystead.ca import configuration
from keystead.ca.authority.model import Charter
from keystead.ca.founding import check_sealing
from keystead.ca.home import ISSUING, ROOT
from keystead.ca.layout import ANCHOR, CONFIGURATION, ISSUING_CERTIFICATE, ROOT_CERTIFICATE
from keystead.ca.procedures.manifest import damaged
from keystead.ca.procedures.packing import Contents
from keystead.custody.vault import open_keys
from keystead.errors import BadInput
from keystead.machine.secrets import Secrets
from keystead.pki.certificates import has_key, is_ca, load_certificate, trust_domain_of_ca, was_issued_by
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.issuance import Issuer
from keystead.pki.keys import is_signed_by, sign


def charter_of(contents: Contents, folder: Path, source: str) -> Charter:
    """The CA that the archive ``source`` describes, as it will lie in ``folder``.

    Raises `BadInput` where the manifest, ``ca.toml`` and the certificates do not agree, or root and issuing
    CA are no chain.
    """
    files, manifest = contents.files, contents.manifest
    charter = Charter(
        configuration=configuration.decode(files[CONFIGURATION], f"ca.toml in {source}"),
        folder=folder,
        root=_certificate(files, ROOT_CERTIFICATE, source),
        issuing=_certificate(files, ISSUING_CERTIFICATE, source),
    )
    said = {trust_domain_of_ca(charter.root), trust_domain_of_ca(charter.issuing), charter.trust_domain}
    if said != {manifest.trust_domain}:
        raise damaged(source, f"its files name several trust domains: {', '.join(sorted(map(str, said)))}")
    if Fingerprint.of_certificate(charter.root).hex != manifest.root:
        raise damaged(source, "its root.crt is not the one that its manifest names")
    if _certificate(files, ANCHOR, source) != charter.root:
        raise damaged(source, "its ca.crt is not its root.crt")
    for certificate in (charter.root, charter.issuing):
        if not is_ca(certificate) or not was_issued_by(certificate, charter.root):
            raise damaged(source, "its root did not issue both of its CA certificates")
    return charter


def _certificate(files: Mapping[str, bytes], name: str, source: str) -> x509.Certificate:
    return load_certificate(files[name], f"{name} in {source}")


def stems_of(contents: Contents) -> tuple[str, ...]:
    """The CAs whose keys are in the archive: the issuing CA, and the root unless it is off-line."""
    files = contents.files
    return tuple(stem for stem in (ISSUING, ROOT) if f"{stem}.key" in files or f"{stem}.key.age" in files)


def open_issuers(charter: Charter, stems: Sequence[str], secrets: Secrets, source: str) -> tuple[Issuer, ...]:
    """The CAs of ``stems`` with their keys, which lie in the charter's folder; each has signed a test.

    The signature is over random octets and is thrown away. Raises `BadInput` where a key is not its
    certificate's, and what opening keys raises.
    """
    for stem in stems:
        check_sealing(charter.environment, sealed=not (charter.folder / f"{stem}.key").exists())
    called = f"the CA keys of {charter.environment}"
    try:
        keys = open_keys(charter.folder, stems, secrets, called=called)
    except BadInput as error:  # the folder is not one that a person knows
        what = error.what.replace(str(charter.folder), source)
        raise BadInput(what, why=error.why, mend=error.mend, code=error.code) from None
    certificates = {ISSUING: charter.issuing, ROOT: charter.root}
    issuers = [
        Issuer(certificates[stem], key, charter.authorship) for stem, key in zip(stems, keys, strict=True)
    ]
    for stem, issuer in zip(stems, issuers, strict=True):
        _test(stem, issuer, source)
    return tuple(issuers)


def _test(stem: str, issuer: Issuer, source: str) -> None:
    public_key = issuer.key.public_key()
    challenge = os.urandom(32)
    is_its_own = has_key(issuer.certificate, public_key)
    if not is_its_own or not is_signed_by(public_key, sign(issuer.key, challenge), challenge):
        raise BadInput(
            f"the {stem} key in {source} does not belong to {stem}.crt",
            why="what it signs, its certificate does not verify",
            mend="take another archive",
            code="key-mismatch",
        )
