"""What a server shows and whom it trusts, out of a subscriber's folder, in the form that the door takes.

Not here: watching it for changes, and the lists in force (`tls.reloading`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from keystead.errors import NotThere
from keystead.subscriber.folder import Material, open_folder
from keystead.subscriber.roles import Role
from keystead.tls.contexts import ServerCredentials
from keystead.tls.reloading import CredentialSource


@dataclass(frozen=True, slots=True)
class ServerMaterial:
    """The identity of a server as it was at the start, and where the door reads it from again."""

    material: Material
    source: CredentialSource


def open_material(
    folder: Path, name: str | None, crl: Path | None, *, tls_1_2: bool = False
) -> ServerMaterial:
    """The server's identity in ``folder``; ``crl`` is the file of the lists, None for the folder's own.

    ``tls_1_2`` lets in clients that speak no TLS 1.3, too. Raises `KeysteadError` where there is none that
    can serve, and `NotThere` without revocation lists.
    """
    material = open_folder(folder, Role.SERVER, name)
    lists = crl or material.crl_path
    if not lists.exists():
        raise NotThere(
            f"there is no {lists}, so that nobody can be let in",
            why="a server checks with it that a client's certificate is not revoked",
            mend=f"on the CA's machine: keystead ca crl --env {material.identity.environment} --out crl.pem;"
            f" bring it here, to {lists}",
            code="no-crl",
        )

    def load() -> ServerCredentials:
        now = open_folder(folder, Role.SERVER, material.name)
        return ServerCredentials(now.chain_pem, now.key_pem, now.anchors, now.trust_domain, tls_1_2)

    files = (material.key_path, material.certificate_path, material.ca_path)
    return ServerMaterial(material, CredentialSource(load, files, lists))
