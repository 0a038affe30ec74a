"""Other people's odd files, and mutations of good CSRs: understood or refused in our words."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.ca.authority.model import Rejected
from keystead.ca.authority.submit import examine
from keystead.errors import KeysteadError
from keystead.pki.certificates import (
    common_name,
    extended_key_usages,
    host_names,
    identity_of,
    is_ca,
    load_certificates,
)
from keystead.pki.csr import CertificateRequest, parse
from keystead.pki.facts import ApprovedRequest, Wishes
from keystead.pki.keys import KeyType, load_private_pem, weaknesses
from keystead.pki.leaks import leaked_keys
from keystead.pki.names import HostNames
from keystead.pki.revocation import load_crls, next_update
from tests.ca.office import Office, founded_home, office
from tests.pki.makers import CLIENT, DOMAIN, SERVER, csr_pem, decide, facts, key

__all__ = ["founded_home", "office"]

CORPUS = Path(cryptography_vectors.__file__).parent
SUFFIXES = {".pem", ".der", ".crt", ".crl", ".key", ".pub", ".p12", ".p7b", ".csr", ".cp"}
LARGEST = 200_000


def corpus() -> Iterator[tuple[str, bytes]]:
    for path in sorted(CORPUS.rglob("*")):
        if path.suffix in SUFFIXES and path.stat().st_size < LARGEST:
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # cryptography warns about most of what is odd in them
@pytest.mark.parametrize("read", [as_csr, as_certificates, as_lists, as_key], ids=lambda read: read.__name__)
def test_every_odd_file_is_understood_or_refused_in_our_words(read: Callable[[bytes], None]) -> None:
    stumbled = {}
    for name, data in corpus():
        try:
            read(data)
        except KeysteadError:
            continue
        except BaseException as error:  # noqa: BLE001  a panic of the parser is none of Exception
            stumbled[name] = repr(error)
    assert stumbled == {}


@pytest.mark.slow
def test_a_folder_of_odd_files_is_one_batch_with_a_reason_for_each(office: Office) -> None:
    files = [data for name, data in corpus() if name.startswith("x509/requests/")]
    outcomes = office.outcomes(*files)
    assert len(outcomes) == len(files) > 20
    for outcome in outcomes:
        if isinstance(outcome, Rejected):
            assert outcome.error.what


# Mutations

GOOD = [
    csr_pem("alice"),
    csr_pem("web", hosts=["localhost", "::1"], purposes=[SERVER, CLIENT]),
    csr_pem("edward", signer=key("edward", KeyType.ED25519)),
    csr_pem("richard", signer=key("richard", KeyType.RSA3072)),
]


def mutated(der: bytes, dice: random.Random) -> bytes:
    data = bytearray(der)
    for _ in range(dice.choice([1, 1, 1, 2, 5])):
        place = dice.randrange(len(data))
        match dice.randrange(6):
            case 0:
                data[place] ^= 1 << dice.randrange(8)
            case 1:
                data[place] = dice.randrange(256)
            case 2:
                del data[place : place + dice.randrange(1, 9)]
            case 3:
                data[place:place] = dice.randbytes(dice.randrange(1, 9))
            case 4:
                end = place + dice.randrange(1, 40)
                data[place:place] = data[place:end]
            case _:
                data = data[:place]
        if not data:
            break
    return bytes(data)


def signed_part(der: bytes) -> bytes:
    return x509.load_der_x509_csr(der).tbs_certrequest_bytes


def check_mutations(count: int, seed: int) -> None:
    dice = random.Random(seed)
    originals = [x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER) for pem in GOOD]
    proven = {signed_part(der) for der in originals}
    for number in range(count):
        data = mutated(dice.choice(originals), dice)
        try:
            request: CertificateRequest = parse(data, f"{seed}/{number}")
            decision = decide(request, Wishes(profile="client", name="alice"), facts(trust_domain=DOMAIN))
        except KeysteadError:
            continue
        assert isinstance(decision, ApprovedRequest)
        assert signed_part(request.der) in proven, f"mutation {seed}/{number} was granted: {data.hex()}"


@pytest.mark.filterwarnings("ignore")
def test_of_300_mutations_none_is_granted_that_its_key_did_not_sign() -> None:
    check_mutations(300, seed=7)


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(10))
def test_of_ten_thousand_mutations_none_is_granted_that_its_key_did_not_sign(seed: int) -> None:
    check_mutations(1_000, seed)
