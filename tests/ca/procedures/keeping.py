"""An archive of the office's `dev`, and restoring it: what the tests of procedures do over and over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyrage

from keystead.ca.home import Home
from keystead.ca.procedures.backup import Taken, take
from keystead.ca.procedures.landing import Source
from keystead.ca.procedures.restore import Published, Restored, restore
from keystead.custody.recipients import Opener, Recipients
from keystead.machine.secrets import Secrets
from tests.ca.office import DEV, Office

_KEY = pyrage.x25519.Identity.generate()
RECIPIENTS = Recipients((_KEY.to_public(),), ("the tests",))
IDENTITY = Opener((_KEY,), "the tests' identity")
STRANGER = Opener((pyrage.x25519.Identity.generate(),), "a stranger's identity")


@dataclass(frozen=True)
class Keeper:
    """Takes backups of the office, and restores them on another machine, which is a home beside it."""

    office: Office

    @property
    def elsewhere(self) -> Home:
        return Home(self.office.folder / "elsewhere")

    def take(self, name: str = "a.backup", environment: str = DEV) -> Taken:
        with self.office.authority(environment) as authority:
            return take(authority, RECIPIENTS, self.office.folder / name)

    def source(self, name: str = "a.backup", by: Opener = IDENTITY, wanted: str | None = None) -> Source:
        return Source(self.office.folder / name, by, wanted)

    def restore(
        self,
        source: Source | None = None,
        published: bytes | None = None,
        *,
        home: Home | None = None,
        secrets: Secrets | None = None,
    ) -> Restored:
        return restore(
            home or self.elsewhere,
            source or self.source(),
            None if published is None else Published(published, "last.pem"),
            secrets or self.office.secrets,
            actor="test",
            clock=lambda: self.office.now,
            announce=lambda manifest: None,
        )

    def restored(self, published: bytes | None = None, environment: str = DEV) -> Office:
        """The office as it works on elsewhere."""
        self.restore(published=published)
        (moved := self.office.folder / "moved").mkdir()
        self.elsewhere.path.rename(moved / "home")
        (self.office.folder / "credentials").rename(moved / "credentials")
        return Office(moved, self.office.now)

    def nothing_is_there(self) -> bool:
        """Whether no environment, and no part of one, is elsewhere; nor any claim on a key."""
        home = self.elsewhere.path
        return not home.exists() or {path.name for path in home.iterdir()} <= {".gitignore", ".init.lock"}


def lists(office: Office, environment: str = DEV) -> bytes:
    return office.charter(environment).crl_path.read_bytes()


def archive(folder: Path, data: bytes, name: str = "b.backup") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path
