"""What must hold of a CA's home and of the folders beside it; but for the audit log, read by other code."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.ca.audit.log import verify
from keystead.ca.authority.publish import is_behind
from keystead.ca.home import Home, open_authority, read_charter
from keystead.subscriber.folder import open_folder
from keystead.subscriber.roles import Role
from tests.e2e.conftest import Machine

_STRAY = re.compile(r"\.tmp$|\.part$|^\.incoming-|\.db-journal$|\.new\.")
_BESIDE = re.compile(r"\.db-(wal|shm)$|\.lock$|^\.gitignore$")
"""What lies beside databases, in locked and in empty folders, and holds nothing of its own."""


def query(database: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    """The rows that ``sql`` gives."""
    with closing(sqlite3.connect(database)) as connection:
        return [tuple(row) for row in connection.execute(sql, values)]


def assert_no_strays(*folders: Path) -> None:
    """Nothing that is meant to be gone lies in ``folders`` or below."""
    strays = [path for folder in folders for path in folder.rglob("*") if _STRAY.search(path.name)]
    assert strays == []


def leaf(path: Path) -> x509.Certificate:
    """The first certificate in the file, which must be whole."""
    return x509.load_pem_x509_certificates(path.read_bytes())[0]


def assert_every_certificate_is_recorded(inventory: Path, *folders: Path) -> int:
    """Each NAME.crt and NAME.pem in ``folders`` is whole and recorded, octet for octet; their count."""
    recorded = {der for (der,) in query(inventory, "SELECT der FROM certificates")}
    paths = [
        path for folder in folders for suffix in ("crt", "pem") for path in folder.glob(f"[!.]*.{suffix}")
    ]
    for path in paths:
        if path.name != "crl.pem":
            assert leaf(path).public_bytes(Encoding.DER) in recorded, path
    return len(paths)


def assert_issued_once(inventory: Path, names: Iterable[str]) -> None:
    """Each of ``names`` has one certificate, and holds its identity by it."""
    issued = query(inventory, "SELECT name, serial FROM certificates ORDER BY name, serial")
    holding = query(inventory, "SELECT name, serial FROM identities ORDER BY name")
    names = set(names)
    assert [name for name, _ in issued if name in names] == sorted(names)
    assert [row for row in holding if row[0] in names] == [row for row in issued if row[0] in names]


def assert_handed_out(folder: Path, names: Iterable[str]) -> None:
    """All the files of each of ``names`` are there, and of one certificate."""
    for name in names:
        assert leaf(folder / f"{name}.crt") == leaf(folder / f"{name}.pem")


def assert_whole(home: Path) -> None:
    """The database is sound, so is the audit log, and crl.pem shows what was revoked."""
    inventory = home / "dev" / "inventory.db"
    assert query(inventory, "PRAGMA integrity_check") == [("ok",)]
    assert query(inventory, "PRAGMA foreign_key_check") == []
    # What `ca audit` asks: thousands of processes more would tell nothing else.
    charter = read_charter(Home(home), "dev")
    with open_authority(Home(home), charter, actor="test") as authority:
        with authority.inventory.reading() as tx:
            assert verify(tx).size > 0
        assert not is_behind(authority)
    lists = crls(home / "dev" / "crl.pem")
    assert len(lists) == 2
    numbers = {number for (number,) in query(inventory, "SELECT number FROM crls")}
    assert {crl_number(crl) for crl in lists} <= numbers


def crls(path: Path) -> list[x509.CertificateRevocationList]:
    """The lists in the file."""
    blocks = re.findall(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----\n", path.read_bytes(), re.DOTALL)
    return [x509.load_pem_x509_crl(block) for block in blocks]


def crl_number(crl: x509.CertificateRevocationList) -> int:
    """Its number."""
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def revoked_in(path: Path) -> Sequence[int]:
    """The serial numbers that the lists in the file name."""
    return [entry.serial_number for crl in crls(path) for entry in crl]


def assert_all_is_sound(machine: Machine) -> None:
    """Every CA of the machine is sound, every certificate recorded, every pair fits, nothing lies about."""
    folders = [path for path in machine.folder.iterdir() if path.is_dir()]
    assert_no_strays(*(folder for folder in folders if not list(folder.glob("*.new.key"))))
    for home in folders:
        if (home / "dev").exists():
            assert_whole(home)
    if (inventory := machine.folder / "home/dev/inventory.db").exists():
        assert_every_certificate_is_recorded(inventory, *folders)
    if (machine.folder / "alice/alice.crt").exists():
        open_folder(machine.folder / "alice", Role.CLIENT)


def content_of(machine: Machine) -> dict[str, object]:
    """All that the machine has: of each database its rows, of each other file its octets."""
    found: dict[str, object] = {}
    for path in sorted(machine.folder.rglob("*")):
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as connection:
                found[str(path)] = list(connection.iterdump())
        elif path.is_file() and not _BESIDE.search(path.name):
            found[str(path)] = path.read_bytes()
    return found
