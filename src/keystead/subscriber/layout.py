"""Where things lie in a subscriber's folder: the path of each file, and which names have a key.

Not here: what is in the files (`pair`, `folder`).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from keystead.errors import BadInput, KeysteadError, NotThere
from keystead.machine.oserrors import told
from keystead.pki.names import check_name

_NEW = ".new"


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one NAME. ``new_key`` and ``new_certificate`` exist during a renewal only."""

    folder: Path
    name: str

    @property
    def key(self) -> Path:
        """``NAME.key``: never leaves this folder."""
        return self.folder / f"{self.name}.key"

    @property
    def csr(self) -> Path:
        """``NAME.csr``: what is sent to the CA."""
        return self.folder / f"{self.name}.csr"

    @property
    def certificate(self) -> Path:
        """``NAME.crt``: the leaf, then the issuing CA."""
        return self.folder / f"{self.name}.crt"

    @property
    def new_key(self) -> Path:
        """``NAME.new.key``: the renewal's key, until `install` has proved its certificate."""
        return self.folder / f"{self.name}{_NEW}.key"

    @property
    def new_certificate(self) -> Path:
        """``NAME.new.crt``: proved, and about to become ``NAME.crt``."""
        return self.folder / f"{self.name}{_NEW}.crt"

    @property
    def put_aside(self) -> str:
        """What a person types to begin anew without losing anything."""
        there = [str(path) for path in (self.key, self.csr, self.certificate) if path.exists()]
        aside = shlex.quote(str(self.folder / "old"))
        return f"mkdir -p -m 700 {aside} && mv --backup=numbered {shlex.join(there)} {aside}/"


@dataclass(frozen=True, slots=True)
class Folder:
    """A subscriber's directory, which need not exist."""

    path: Path

    @property
    def ca(self) -> Path:
        """``ca.crt``: the trust anchors."""
        return self.path / "ca.crt"

    @property
    def crl(self) -> Path:
        """``crl.pem``: the revocation lists of the issuing CA and of the root."""
        return self.path / "crl.pem"

    @property
    def lock(self) -> Path:
        """What a command holds while it changes the folder."""
        return self.path / ".lock"

    def files(self, name: str) -> Files:
        """The files of ``name``; raises `BadInput` where it can name none."""
        if check_name(name).endswith(_NEW):
            raise BadInput(
                f"the name {name!r} ends in {_NEW}",
                why=f"NAME{_NEW}.key is the key of NAME's renewal",
                mend="choose another name",
                code="bad-name",
            )
        return Files(self.path, name)

    def all(self) -> tuple[Files, ...]:
        """The files of each name that has a key here, sorted; raises `NotThere` without the folder."""
        with told(self.path, "read"):
            stems = sorted(path.stem for path in self.path.iterdir() if path.suffix == ".key")
        return tuple(self.files(stem) for stem in stems if self._is_name(stem))

    def renewals(self) -> tuple[Files, ...]:
        """The files of each name whose renewal is not finished, sorted."""
        with told(self.path, "read"):
            found = sorted(path.name for path in self.path.glob(f"*{_NEW}.key"))
        stems = (name.removesuffix(f"{_NEW}.key") for name in found)
        return tuple(self.files(stem) for stem in stems if self._is_name(stem))

    def require(self) -> None:
        """Raise `NotThere`, with what to type, unless the folder exists."""
        with told(self.path, "read"):
            is_there = self.path.is_dir()
            self.lock.exists()  # raises where the folder may not be searched
        if not is_there:
            raise NotThere(
                f"there is no folder {self.path}",
                why="a subscriber's key and certificate lie in one folder",
                mend="make a key and CSR there: keystead csr NAME --dir "
                f"{self.path}   (or, for local testing: keystead dev)",
            )

    def _is_name(self, stem: str) -> bool:
        try:
            self.files(stem)
        except KeysteadError:
            return False
        return True
