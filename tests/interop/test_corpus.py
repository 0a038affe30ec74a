"""Other people's odd files, every one that `cryptography_vectors` has: understood or refused in our words."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cryptography_vectors
import pytest

from keystead.ca.authority.model import Rejected, Signed
from keystead.ca.authority.submit import PrivateKeyReceived, examine
from keystead.custody.files import MAX_KEY_FILE
from keystead.errors import KeysteadError
from keystead.pki.certificates import (
    MAX_CERTIFICATE_OCTETS,
    common_name,
    extended_key_usages,
    host_names,
    identity_of,
    is_ca,
    load_certificates,
)
from keystead.pki.csr import MAX_CSR_OCTETS
from keystead.pki.facts import Wishes
from keystead.pki.keys import load_private_pem, weaknesses
from keystead.pki.leaks import leaked_keys
from keystead.pki.names import HostNames
from keystead.pki.revocation import MAX_CRL_OCTETS, load_crls, next_update
from tests.ca.office import DEV, Office, founded_home, office
from tests.pki.makers import decide

__all__ = ["founded_home", "office"]

CORPUS = Path(cryptography_vectors.__file__).parent
NO_VECTORS = {".py", ".pyc", ".typed"}


def corpus() -> Iterator[tuple[str, bytes]]:
    for path in sorted(CORPUS.rglob("*")):
        if path.is_file() and path.suffix not in NO_VECTORS:
            yield str(path.relative_to(CORPUS)), path.read_bytes()


def as_csr(data: bytes) -> None:
    request = examine(data, "x")
    try:
        decide(request, Wishes(name="alice"))
        decide(request, Wishes(profile="server", name="alice", host_names=HostNames.of(["a"])))
    finally:
        weaknesses(request.public_key)


def as_certificates(data: bytes) -> None:
    for certificate in load_certificates(data, "x"):
        common_name(certificate)
        host_names(certificate)
        is_ca(certificate)
        extended_key_usages(certificate)
        identity_of(certificate)


def as_lists(data: bytes) -> None:
    for crl in load_crls(data, "x"):
        next_update(crl)
        list(crl)


def as_key(data: bytes) -> None:
    leaked_keys(data)
    load_private_pem(data, "x")


@dataclass(frozen=True)
class Reader:
    """What reads a file, and how many octets of one are read: a larger one is refused for its size."""

    read: Callable[[bytes], None]
    limit: int


READERS = {
    "a CSR": Reader(as_csr, MAX_CSR_OCTETS),
    "certificates": Reader(as_certificates, MAX_CERTIFICATE_OCTETS),
    "revocation lists": Reader(as_lists, MAX_CRL_OCTETS),
    "a key": Reader(as_key, MAX_KEY_FILE),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # cryptography warns about most of what is odd in them
@pytest.mark.parametrize("wanted", READERS)
def test_every_odd_file_is_understood_or_refused_in_our_words(wanted: str) -> None:
    reader, stumbled, looked_at = READERS[wanted], {}, 0
    for name, data in corpus():
        if len(data) > reader.limit:
            continue
        looked_at += 1
        try:
            reader.read(data)
        except KeysteadError:
            continue
        except BaseException as error:  # noqa: BLE001  a panic of the parser is none of Exception
            stumbled[name] = repr(error)
    assert stumbled == {}
    assert looked_at > 2_000


def count(database: Path, table: str) -> int:
    with closing(sqlite3.connect(database)) as opened:
        return int(opened.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_whole_corpus_is_one_batch_of_which_only_sound_csrs_are_signed(office: Office) -> None:
    """Each file has its outcome; recorded is what was signed, and barred what was a private key."""
    inventory = office.home.folder(DEV) / "inventory.db"
    certificates, keys = count(inventory, "certificates"), count(office.home.claims, "keys")
    files = {name: data for name, data in corpus() if len(data) <= MAX_CSR_OCTETS}

    outcomes = dict(zip(files, office.outcomes(*files.values(), profile="client"), strict=True))

    signed = {name for name, outcome in outcomes.items() if isinstance(outcome, Signed)}
    errors = [outcome.error for outcome in outcomes.values() if isinstance(outcome, Rejected)]
    assert len(outcomes) == len(files) > 2_000
    assert all("requests" in name or "csr" in name for name in signed), signed
    assert all(error.what for error in errors)
    assert count(inventory, "certificates") == certificates + len(signed)
    leaked = {key for error in errors if isinstance(error, PrivateKeyReceived) for key in error.fingerprints}
    assert count(office.home.claims, "keys") == keys + len(signed) + len(leaked)
