"""What is known of an upload beside its octets, and where both lie. The state is a small file of JSON.

Not here: who may change it, and when (`resumable`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from keystead.errors import BadInput, NotThere
from keystead.machine.files import read_bounded
from keystead.wire.tus import MAX_METADATA, Metadata, is_upload_id

FOLDER: Final = ".uploads"
"""Where an identity's uploads lie, beside its files."""

_STATE: Final = ".json"
_OCTETS: Final = ".data"
_LIMIT: Final = 4 * MAX_METADATA


@dataclass(frozen=True, slots=True)
class State:
    """What is known of an upload beside its octets.

    ``digests`` are the SHA-256s that its sender wants it to have. ``floor``, while a body with a checksum is
    on its way: how many octets stay if it does not arrive. ``kept``: its SHA-256, from the moment in which it
    is made visible.
    """

    length: int
    metadata: Metadata
    digests: tuple[bytes, ...] = ()
    floor: int | None = None
    kept: bytes | None = None

    @property
    def name(self) -> str:
        """The file that it is to be."""
        return self.metadata.file_name()

    def to_json(self) -> bytes:
        """As it is written."""
        members = {
            "length": self.length,
            "metadata": self.metadata.to_field(),
            "digests": [digest.hex() for digest in self.digests],
            "floor": self.floor,
            "kept": self.kept.hex() if self.kept is not None else None,
        }
        return json.dumps(members).encode("ascii")

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """What `to_json` wrote; raises `BadInput`, `ValueError`, `LookupError` or `TypeError` otherwise."""
        try:
            members = json.loads(data)
        except RecursionError:
            raise ValueError from None
        kept, floor = members["kept"], members["floor"]
        length = _octets(members["length"], 2**63)
        metadata = Metadata.parse(_text(members["metadata"]))
        metadata.file_name()
        return cls(
            length,
            metadata,
            tuple(map(bytes.fromhex, members["digests"])),
            _octets(floor, length) if floor is not None else None,
            bytes.fromhex(kept) if kept is not None else None,
        )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _octets(value: object, most: int) -> int:
    if not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError
    return value


@dataclass(frozen=True, slots=True)
class Found:
    """An upload as it lies there: how far it has got, and when it goes unless it gets on."""

    id: str
    state: State
    offset: int
    expires: datetime
    is_kept: bool

    @property
    def is_whole(self) -> bool:
        """Whether all has come."""
        return self.offset == self.state.length


def paths(folder: Path, upload_id: str) -> tuple[Path, Path]:
    """Where the octets of an upload in ``folder`` are, and where its state is."""
    return folder / (upload_id + _OCTETS), folder / (upload_id + _STATE)


def unfinished(folder: Path) -> set[str]:
    """Every upload in ``folder`` whose octets lie there."""
    return {path.stem for path in folder.glob("*" + _OCTETS) if is_upload_id(path.stem)}


def noted(folder: Path) -> set[str]:
    """Every upload in ``folder`` that has a state; the finished ones have nothing else."""
    return {path.stem for path in folder.glob("*" + _STATE) if is_upload_id(path.stem)}


def read_state(path: Path) -> State | None:
    """The state at ``path``; None where it is gone, or nothing that this server wrote."""
    try:
        return State.parse(read_bounded(path, _LIMIT))
    except (NotThere, BadInput, ValueError, LookupError, TypeError):
        return None


def reserved_octets(place: Path) -> int:
    """What the uploads beside the files in ``place`` will take, whether it has come or not.

    One that is becoming visible in this moment is among them: none is to be counted nowhere.
    """
    folder = place / FOLDER
    states = (read_state(paths(folder, upload_id)[1]) for upload_id in unfinished(folder))
    return sum(state.length for state in states if state is not None)
