"""A CA's private keys in a folder: STEM.key.age where sealed, STEM.key where not; opened by what opens them.

The caller names the folder, the stems and where secrets may be looked for. Not here: which keys a CA has,
and where a key may lie unsealed. What comes out is a pyca private key, or what behaves like one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from keystead.custody import identities, passphrases
from keystead.custody.files import MAX_KEY_FILE, read_key, write_key
from keystead.custody.header import read_header
from keystead.errors import NotThere
from keystead.machine import memory
from keystead.machine.files import read_bounded, write_new
from keystead.machine.memory import Room
from keystead.machine.secrets import AgeIdentity, Passphrase, Secrets
from keystead.pki.keys import PrivateKey, load_private_pem, private_pem


class Sealing(StrEnum):
    """What opens a key."""

    NONE = "none"
    PASSPHRASE = "passphrase"  # noqa: S105 - the word, not one
    IDENTITY = "identity"


def seal_keys(folder: Path, keys: Mapping[str, PrivateKey], secret: Passphrase | AgeIdentity) -> Sealing:
    """Write each key to ``folder``/STEM.key.age, which must not exist; what they are sealed with.

    One secret for all, as `Secrets.for_sealing` finds it. Raises `AlreadyThere`, `Unavailable` (memory,
    disk), `BadInput` where the identity is none.
    """
    plain = [(_sealed(folder, stem), private_pem(key)) for stem, key in keys.items()]
    if isinstance(secret, AgeIdentity):
        sealed = [identities.seal(data, secret) for _, data in plain]
        found = Sealing.IDENTITY
    else:
        sealed = _seal_side_by_side(plain, secret, memory.room())
        found = Sealing.PASSPHRASE
    for (path, _), data in zip(plain, sealed, strict=True):
        write_new(path, data)
    return found


def write_unsealed(folder: Path, stem: str, key: PrivateKey) -> str:
    """Write the key to ``folder``/STEM.key as it is: for environment ``dev``, which says so aloud.

    Gives back a warning where a ``.gitignore`` would let the key into git, else "".
    """
    return write_key(_unsealed(folder, stem), key)


def sealing_of(folder: Path, stem: str) -> Sealing:
    """What opens this key; `NotThere` where there is none."""
    if _sealed(folder, stem).exists():
        return _read(folder, stem).sealing
    if _unsealed(folder, stem).exists():
        return Sealing.NONE
    raise NotThere(
        f"there is no {_sealed(folder, stem)}",
        why="the key that is needed here does not lie in this folder, sealed or not",
        mend=f"put it back from its backup: keystead ca restore BACKUP --only {stem}.key",
        code="no-key",
    )


def open_key(folder: Path, stem: str, secrets: Secrets) -> PrivateKey:
    """The one key; raises as `open_keys` does."""
    return open_keys(folder, (stem,), secrets)[0]


def open_keys(
    folder: Path, stems: Sequence[str], secrets: Secrets, *, called: str | None = None
) -> tuple[PrivateKey, ...]:
    """The keys, in the order of ``stems``; a passphrase is looked for once, for all that need it.

    A person who is asked for it is told what it is of by ``called``, or by stems and folder. Raises
    `NotThere` where a key is missing, `Unavailable` where memory or the secret is, `BadInput` where the
    secret is the wrong one or a file is damaged.
    """
    sealings = {stem: sealing_of(folder, stem) for stem in stems}
    sealed = {stem: _read(folder, stem) for stem in stems if sealings[stem] is not Sealing.NONE}
    by_passphrase = [stem for stem in stems if sealings[stem] is Sealing.PASSPHRASE]
    pem: dict[str, bytes] = {}
    if by_passphrase:
        passphrase = secrets.passphrase(called or f"{' and '.join(by_passphrase)} in {folder}")
        parcels = [sealed[stem] for stem in by_passphrase]
        pem.update(zip(by_passphrase, _open_side_by_side(parcels, passphrase, memory.room()), strict=True))
    for stem, parcel in sealed.items():
        if parcel.sealing is Sealing.IDENTITY:
            pem[stem] = identities.unseal(parcel.data, secrets.identity(), str(parcel.path))
    return tuple(
        load_private_pem(pem[stem], str(sealed[stem].path))
        if stem in pem
        else read_key(_unsealed(folder, stem))
        for stem in stems
    )


@dataclass(frozen=True, slots=True)
class _Parcel:
    path: Path
    data: bytes
    memory: int

    @property
    def sealing(self) -> Sealing:
        return Sealing.PASSPHRASE if self.memory else Sealing.IDENTITY


def _read(folder: Path, stem: str) -> _Parcel:
    path = _sealed(folder, stem)
    data = read_bounded(path, MAX_KEY_FILE)
    return _Parcel(path, data, read_header(data, str(path)).memory)


def _seal_side_by_side(
    plain: Sequence[tuple[Path, bytes]], passphrase: Passphrase, room: Room
) -> list[bytes]:
    # age may choose twice what is expected of it.
    together = room.size >= 2 * len(plain) * passphrases.sealing_memory()
    with ThreadPoolExecutor(len(plain) if together else 1) as pool:
        return list(pool.map(lambda item: passphrases.seal(item[1], passphrase, str(item[0]), room), plain))


def _open_side_by_side(parcels: Sequence[_Parcel], passphrase: Passphrase, room: Room) -> list[bytes]:
    together = room.size >= sum(parcel.memory for parcel in parcels)
    with ThreadPoolExecutor(len(parcels) if together else 1) as pool:
        return list(pool.map(lambda it: passphrases.unseal(it.data, passphrase, str(it.path), room), parcels))


def _sealed(folder: Path, stem: str) -> Path:
    return folder / f"{stem}.key.age"


def _unsealed(folder: Path, stem: str) -> Path:
    return folder / f"{stem}.key"
