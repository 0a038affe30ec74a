"""A subscriber's folder, opened: who one is there, and the key, chain and anchors to be it with.

Not here: whether others trust it, which the handshake shows, and the revocation lists in force (`tls`).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from keystead.errors import Distrusted, KeysteadError, NotThere, Unavailable
from keystead.machine.files import read_bounded
from keystead.pki import csr
from keystead.pki.certificates import (
    MAX_CERTIFICATE_OCTETS,
    common_name,
    extended_key_usages,
    identity_of,
    load_certificates,
    to_pem,
    trust_domain_of_ca,
)
from keystead.pki.names import Identity, TrustDomain
from keystead.pki.revocation import MAX_CRL_OCTETS, load_crls
from keystead.pki.verdicts import FOREIGN_DOMAIN
from keystead.subscriber.layout import Files, Folder
from keystead.subscriber.pair import Pair, read_pair
from keystead.subscriber.roles import Role


@dataclass(frozen=True, slots=True)
class Material:
    """One identity of a folder, with all that it takes to be it. Key and certificate fit each other.

    ``name`` is the files' stem; who one is, is ``identity``. ``chain`` is the leaf, then its CAs.
    ``crl_path`` need not exist: see `read_crls`. Nothing is said of dates: an expired certificate is the
    other side's to refuse.
    """

    name: str
    identity: Identity
    key_path: Path
    certificate_path: Path
    ca_path: Path
    crl_path: Path
    chain: tuple[x509.Certificate, ...]
    anchors: tuple[x509.Certificate, ...]
    key_pem: bytes = field(repr=False)

    @property
    def certificate(self) -> x509.Certificate:
        """The leaf."""
        return self.chain[0]

    @property
    def trust_domain(self) -> TrustDomain:
        """The environment that one belongs to."""
        return self.identity.trust_domain

    @property
    def chain_pem(self) -> bytes:
        """The certificates to present, leaf first."""
        return to_pem(*self.chain)


def open_folder(path: Path, role: Role, name: str | None = None) -> Material:
    """The identity of the folder ``path`` that is good for ``role``: that of ``name``, or the only one.

    Raises `NotThere` where none fits, or several do (``ambiguous``), saying what is there and what to type;
    `BadInput`, `Unavailable` or `Distrusted` for files that cannot be used.
    """
    folder = Folder(path)
    folder.require()
    pair = _named(folder, role, name) if name is not None else _only(folder, role)
    material = Material(
        name=pair.files.name,
        identity=identity_of(pair.leaf),
        key_path=pair.files.key,
        certificate_path=pair.certificate_path,
        ca_path=folder.ca,
        crl_path=folder.crl,
        chain=pair.chain,
        anchors=read_anchors(folder.ca),
        key_pem=pair.key_pem,
    )
    check_anchors(folder, material.anchors, pair.certificate_path, material.trust_domain)
    return material


def read_anchors(path: Path) -> tuple[x509.Certificate, ...]:
    """The trust anchors in the file ``path``; raises `NotThere` or `BadInput`."""
    try:
        data = read_bounded(path, MAX_CERTIFICATE_OCTETS)
    except NotThere:
        raise NotThere(
            f"there is no {path}",
            why="it holds the CA certificate by which the other side is recognised",
            mend="install what the CA handed out:"
            f" keystead install NAME.pem --dir {shlex.quote(str(path.parent))}",
            code="no-anchor",
        ) from None
    return load_certificates(data, str(path))


def check_anchors(
    folder: Folder, anchors: Iterable[x509.Certificate], certificate: Path, own: TrustDomain
) -> None:
    """Raise `Distrusted` where one of ``anchors`` is of another environment than ``certificate``'s, ``own``.

    Nobody under it would be trusted; but whoever put it there, or the certificate, took one environment for
    the other. An anchor that names no environment is left to the handshake, which refuses all under it.
    """
    for anchor in anchors:
        domain = _domain_of(anchor)
        if domain is not None and domain != own:
            raise Distrusted(
                f"{folder.ca} trusts another environment than that of {certificate}",
                why=f"its {common_name(anchor)!r} is a root of {domain}; {certificate.name} is of {own}",
                mend="keep each environment in a folder of its own (--dir DIR), and here the ca.crt of"
                f" {own} alone: take it from that CA",
                code=FOREIGN_DOMAIN.code,
            )


def _domain_of(anchor: x509.Certificate) -> TrustDomain | None:
    try:
        return trust_domain_of_ca(anchor)
    except Distrusted:
        return None


def read_crls(path: Path) -> tuple[x509.CertificateRevocationList, ...] | None:
    """The revocation lists in the file ``path``; None where there is no such file. Raises `BadInput`."""
    try:
        data = read_bounded(path, MAX_CRL_OCTETS)
    except NotThere:
        return None
    return load_crls(data, str(path))


def _named(folder: Folder, role: Role, name: str) -> Pair:
    files = folder.files(name)
    if not files.key.exists():
        raise NotThere(
            f"there is no {files.key}",
            why=f"the folder has {_names(folder.all()) or 'no key at all'}",
            mend=f"name another (--name NAME), or make it: {_make(folder, role, name)}",
            code="no-key",
        )
    pair = read_pair(files)
    if role.purpose not in extended_key_usages(pair.leaf):
        raise NotThere(
            f"{files.certificate} is no {role}'s certificate",
            why=f"it was issued to {identity_of(pair.leaf)}, for another purpose (extended key usage)",
            mend=f"name another (--name NAME), or make one: {_make(folder, role, 'NAME')}",
            code="wrong-purpose",
        )
    return pair


def _only(folder: Folder, role: Role) -> Pair:
    fitting: list[Pair] = []
    others: list[KeysteadError] = []
    for files in folder.all():
        try:
            fitting.append(_named(folder, role, files.name))
        except KeysteadError as error:
            others.append(error)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise NotThere(
            f"{folder.path} holds no single {role}'s identity: {len(fitting)} fit",
            why="; ".join(f"{pair.files.name} is {identity_of(pair.leaf).uri}" for pair in fitting),
            mend=f"say which: --name {fitting[0].files.name}",
            code="ambiguous",
        )
    if unusable := next((error for error in others if isinstance(error, Unavailable)), None):
        raise unusable  # a key that must not, or may not, be read may well be the one: that is what to mend
    raise NotThere(
        f"{folder.path} holds no {role}'s key and certificate",
        why="; ".join(error.what for error in others) or "there is no key in it",
        mend=_certify(folder, role),
        code="no-fitting-identity",
    )


def _certify(folder: Folder, role: Role) -> str:
    make = f"{_make(folder, role, 'NAME')}   (or, for local testing: keystead dev)"
    waiting = next((files for files in folder.all() if _waits(files, role)), None)
    if waiting is None:
        return f"make a key and CSR: {make}"
    place = "" if folder.path == Path("certs") else f" --dir {shlex.quote(str(folder.path))}"
    install = f"keystead install {waiting.name}.pem{place}"
    return f"have {waiting.csr} signed by the CA, then here: {install}; or make another: {make}"


def _waits(files: Files, role: Role) -> bool:
    """Whether there is a CSR for ``role`` that no certificate has answered."""
    if files.certificate.exists():
        return False
    try:
        return role.purpose in csr.parse(read_bounded(files.csr, csr.MAX_CSR_OCTETS), "").purposes
    except KeysteadError:
        return False


def _names(all_files: Iterable[Files]) -> str:
    return ", ".join(files.key.name for files in all_files)


def _make(folder: Folder, role: Role, name: str) -> str:
    profile = " --profile server" if role is Role.SERVER else ""
    place = "" if folder.path == Path("certs") else f" --dir {shlex.quote(str(folder.path))}"
    return f"keystead csr {name}{profile}{place}"
