"""What ``keystead serve`` serves, as a value that each of its processes can make the same thing of.

Not here: sockets and processes (`web`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from keystead.errors import KeysteadError
from keystead.subscriber.fileserver.app import make_app
from keystead.subscriber.fileserver.limits import UploadLimits
from keystead.subscriber.fileserver.material import ServerMaterial, bring_lists, open_material
from keystead.subscriber.fileserver.shelf import open_store
from keystead.tls.crlurl import Remote
from keystead.tls.reloading import CredentialSource
from keystead.web.application import load
from keystead.web.gate import App


@dataclass(frozen=True, slots=True)
class Service:
    """A server's identity in ``folder``, its lists (None: the folder's), and what it serves to whom.

    What: ``application`` ("module:attribute"), or, without one, files into ``uploads``. To whom: with
    ``tls_1_2`` to clients that speak no TLS 1.3, too. ``remote`` is where newer lists come from.
    """

    folder: Path
    name: str | None
    crl: Path | None
    uploads: Path
    upload_limits: UploadLimits
    application: str | None
    tls_1_2: bool
    remote: Remote | None = None

    @property
    def what(self) -> str:
        """In words."""
        return self.application or f"files into {self.uploads}"

    def bring_lists(self) -> tuple[KeysteadError, ...]:
        """What stood in the way of newer lists, where a URL is asked for them.

        Raises `KeysteadError` where there is no list at all.
        """
        return bring_lists(self.folder, self.name, self.remote) if self.remote is not None else ()

    def material(self) -> ServerMaterial:
        """The identity; raises `KeysteadError` where there is none that can serve."""
        return open_material(self.folder, self.name, self.crl, tls_1_2=self.tls_1_2, remote=self.remote)

    def app(self, found: ServerMaterial) -> App:
        """The ASGI application; raises `KeysteadError` where there is none, or no place for the files."""
        if self.application is not None:
            return load(self.application)
        return make_app(open_store(self.uploads, found.material.trust_domain), self.upload_limits)

    def prepare(self, found: ServerMaterial) -> None:
        """What is done once, before several processes make the application; raises as `app` does."""
        if self.application is None:
            open_store(self.uploads, found.material.trust_domain)

    def make(self) -> tuple[App, CredentialSource]:
        """Both, as a worker wants them."""
        found = self.material()
        return self.app(found), found.source
