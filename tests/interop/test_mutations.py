"""Ten thousand mutations at each parser of what carries a signature: none is believed that nobody signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.errors import KeysteadError
from keystead.pki.certificates import load_certificates
from keystead.pki.chains import verify
from keystead.pki.csr import parse
from keystead.pki.facts import ApprovedRequest, Wishes
from keystead.pki.keys import KeyType, load_private_pem, private_pem
from keystead.pki.leaks import leaked_keys
from keystead.pki.names import TrustDomain
from keystead.pki.renewal import prove
from keystead.pki.revocation import crl_to_pem, load_signed_lists
from keystead.tls.crls import NO_CRLS, advance_signed
from tests.hostile.mutations import PER_ROUND, SAMPLE, octets
from tests.pki.makers import CLIENT, DOMAIN, NOW, SERVER, Ca, csr_pem, decide, facts, key
from tests.rounds import Rounds, in_sample_and_soak

pytestmark = pytest.mark.filterwarnings("ignore")  # cryptography warns about much of what comes of it

LATER = NOW + timedelta(hours=1)
CAS = [Ca(), Ca(key_type=KeyType.RSA3072), Ca(key_type=KeyType.ED25519)]


@dataclass(frozen=True)
class Signed:
    """Good ones in DER, what of one is signed, and the reader: true where it believes what it was given."""

    good: tuple[bytes, ...]
    signed_part: Callable[[bytes], bytes]
    believes: Callable[[bytes], bool]


def der(pem: bytes) -> bytes:
    return x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER)


CSRS = (
    der(csr_pem("alice")),
    der(csr_pem("web", hosts=["localhost", "::1"], purposes=[SERVER, CLIENT])),
    der(csr_pem("edward", signer=key("edward", KeyType.ED25519))),
    der(csr_pem("richard", signer=key("richard", KeyType.RSA3072))),
    der(csr_pem("again", proof=prove(key("old"), DOMAIN, "5e41a1", key("again").public_key()))),
)
LEAVES = tuple(ca.leaf("alice").public_bytes(Encoding.DER) for ca in CAS)
LISTS = tuple(crl.public_bytes(Encoding.DER) for ca in CAS for crl in ca.crls(ca.leaf("bob")))


def is_granted(data: bytes) -> bool:
    decision = decide(parse(data, "x"), Wishes(profile="client", name="alice"), facts(trust_domain=DOMAIN))
    return isinstance(decision, ApprovedRequest)


def is_trusted(data: bytes) -> bool:
    (leaf,) = load_certificates(data, "x")
    for ca in CAS:
        try:
            verify(leaf, [ca.issuing.certificate], [ca.root.certificate], now=LATER)
        except KeysteadError:
            continue
        return True
    return False


def is_in_force(data: bytes) -> bool:
    """By the server's reading, which must say what cryptography says of the signature."""
    authorities = [issuer.certificate for ca in CAS for issuer in (ca.root, ca.issuing)]
    found = load_signed_lists(data, "x")
    taken = advance_signed(NO_CRLS, found, authorities=authorities, floors={}, now=LATER)
    verified = [entry for entry in taken.crls.lists.values() if entry.verified]
    for entry in verified:
        crl = entry.signed.crl
        assert any(
            crl.issuer == authority.subject and is_valid(crl, authority) for authority in authorities
        ), "the server believes a list that cryptography does not"
    return bool(verified)


def is_valid(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(authority.public_key())  # type: ignore[arg-type]  # a CA's key signs
    except TypeError:
        return False


SIGNED = {
    "a CSR": Signed(CSRS, lambda data: x509.load_der_x509_csr(data).tbs_certrequest_bytes, is_granted),
    "a certificate": Signed(
        LEAVES, lambda data: x509.load_der_x509_certificate(data).tbs_certificate_bytes, is_trusted
    ),
    "a revocation list": Signed(
        LISTS, lambda data: x509.load_der_x509_crl(data).tbs_certlist_bytes, is_in_force
    ),
}


@in_sample_and_soak
@pytest.mark.parametrize("what", SIGNED)
def test_no_mutation_is_believed_that_its_key_did_not_sign(what: str, rounds: Rounds) -> None:
    kind = SIGNED[what]
    proven = {kind.signed_part(good) for good in kind.good}
    for chance in rounds.play(SAMPLE):
        for _ in range(PER_ROUND):
            data = octets(chance.choice(kind.good), chance)
            if believed(kind.believes, data):
                assert kind.signed_part(data) in proven, f"{what} was believed: {data.hex()}"


def believed(believes: Callable[[bytes], bool], data: bytes) -> bool:
    try:
        return believes(data)
    except KeysteadError:
        return False
    except AssertionError:
        raise
    except BaseException as error:  # a panic of the parser is none of Exception
        raise AssertionError(f"it stumbled over {data.hex()}") from error


@pytest.mark.parametrize("what", SIGNED)
def test_what_was_not_mutated_is_believed(what: str) -> None:
    assert SIGNED[what].believes(SIGNED[what].good[0])


Pem = tuple[list[bytes], Callable[[bytes, str], object]]

PEMS: dict[str, Pem] = {
    "a key": ([private_pem(key(str(kind), kind)) for kind in KeyType], load_private_pem),
    "a key among other things": (
        [csr_pem("alice") + private_pem(key("alice"))],
        lambda data, _: leaked_keys(data),
    ),
    "a chain": ([b"".join(CAS[0].leaf("carol").public_bytes(Encoding.PEM) for _ in "ab")], load_certificates),
    "lists in PEM": ([crl_to_pem(*CAS[0].crls())], load_signed_lists),
    "a CSR in PEM": ([csr_pem("alice")], parse),
}


@in_sample_and_soak
@pytest.mark.parametrize("what", PEMS)
def test_mangled_armour_is_understood_or_refused(what: str, rounds: Rounds) -> None:
    good, read = PEMS[what]
    for chance in rounds.play(SAMPLE):
        for _ in range(PER_ROUND):
            data = octets(chance.choice(good), chance)
            try:
                read(data, "x")
            except KeysteadError:
                continue
            except BaseException as error:
                raise AssertionError(f"{what}: it stumbled over {data!r}") from error


def test_a_certificate_that_openssl_alone_cannot_read_is_malformed() -> None:
    good = LEAVES[0]
    date = good.index(b"\x17\x0d")  # notBefore, a UTCTime (RFC 5280, section 4.1.2.5.1)
    for place in (date, date + 15):
        for tag in range(256):
            data = good[:place] + bytes([tag]) + good[place + 1 :]
            assert not believed(is_trusted, data) or data == good


def test_a_list_of_another_domain_s_ca_is_not_verified_here() -> None:
    other = Ca(domain=TrustDomain("dev.example.internal"))
    assert not is_in_force(other.crl(other.issuing).public_bytes(Encoding.DER))
