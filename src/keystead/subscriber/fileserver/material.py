"""What a server shows and whom it trusts, out of a subscriber's folder, in the form that the door takes.

Not here: watching it for changes, and the lists in force (`tls.reloading`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from keystead.errors import KeysteadError, NotThere
from keystead.subscriber.folder import Material, open_folder
from keystead.subscriber.roles import Role
from keystead.tls.contexts import ServerCredentials
from keystead.tls.crlurl import Remote
from keystead.tls.reloading import CredentialSource


@dataclass(frozen=True, slots=True)
class ServerMaterial:
    """The identity of a server as it was at the start, and where the door reads it from again."""

    material: Material
    source: CredentialSource


def open_material(
    folder: Path,
    name: str | None,
    crl: Path | None,
    *,
    tls_1_2: bool = False,
    remote: Remote | None = None,
) -> ServerMaterial:
    """The server's identity in ``folder``; ``crl`` is the file of the lists, None for the folder's own.

    ``tls_1_2`` lets in clients that speak no TLS 1.3, too; ``remote`` is where newer lists come from. Raises
    `KeysteadError` where there is none that can serve, and `NotThere` without revocation lists.
    """
    found = _open(folder, name, crl, tls_1_2=tls_1_2, remote=remote)
    material, lists = found.material, found.source.crl
    if not lists.exists():
        raise NotThere(
            f"there is no {lists}, so that nobody can be let in",
            why="a server checks with it that a client's certificate is not revoked",
            mend=f"on the CA's machine: keystead ca crl --env {material.identity.environment} --out crl.pem;"
            f" bring it here, to {lists}",
            code="no-crl",
        )
    return found


def bring_lists(folder: Path, name: str | None, remote: Remote) -> tuple[KeysteadError, ...]:
    """Ask ``remote`` once and put what is newer into the folder: what was not taken, or why nothing came.

    Without a list in the folder either, it is raised: a server without one lets nobody in.
    """
    from keystead.tls.crlfetch import fetch_first  # noqa: PLC0415  h11, which only this needs

    found = _open(folder, name, None, remote=remote)
    lists = found.source.crl
    try:
        refusals = asyncio.run(fetch_first(remote, lists, found.source.load()))
    except KeysteadError as error:
        refusals = (error,)
    if lists.exists():
        return refusals
    reason = refusals[0]
    raise NotThere(
        f"there is no {lists}, and {remote.url.text} gave none, so that nobody can be let in",
        why="; ".join(part for part in (reason.what, reason.why) if part),
        mend=f"see what the URL gives, or bring the CA's lists to {lists} once: keystead ca crl"
        f" --env {found.material.identity.environment} --out crl.pem   (there)",
        code="no-crl",
    )


def _open(
    folder: Path,
    name: str | None,
    crl: Path | None,
    *,
    tls_1_2: bool = False,
    remote: Remote | None = None,
) -> ServerMaterial:
    material = open_folder(folder, Role.SERVER, name)

    def load() -> ServerCredentials:
        now = open_folder(folder, Role.SERVER, material.name)
        return ServerCredentials(now.chain_pem, now.key_pem, now.anchors, now.trust_domain, tls_1_2)

    files = (material.key_path, material.certificate_path, material.ca_path)
    return ServerMaterial(material, CredentialSource(load, files, crl or material.crl_path, remote))
