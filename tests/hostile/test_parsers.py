"""Every parser of text that others wrote, or that lay on a disk: understood, or refused in our words."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pytest

from keystead.ca.configuration import decode, encode
from keystead.ca.home import Home, read_charter
from keystead.errors import KeysteadError
from keystead.pki import renewal
from keystead.pki.names import Identity, TrustDomain
from keystead.pki.profiles import parse_profiles
from keystead.subscriber.fileclient.address import choose
from keystead.subscriber.fileserver.conditions import Conditions, parse_range
from keystead.subscriber.fileserver.digests import Digests
from keystead.subscriber.fileserver.limits import UploadLimits
from keystead.subscriber.fileserver.resumable import Uploads
from keystead.subscriber.fileserver.shelf import open_store
from keystead.subscriber.fileserver.states import FOLDER, State, paths, reserved_octets
from keystead.tls.crlfile import CrlFile
from keystead.wire import tus
from keystead.wire.files import Entry, Receipt, list_to_json, parse_digest_field, parse_file_name, parse_list
from keystead.wire.problems import Problem
from keystead.wire.whoami import Caller
from tests.ca.office import DEV, Office, configuration, founded_home, office
from tests.hostile.mutations import PER_ROUND, SAMPLE, mutated
from tests.pki.makers import DOMAIN, key
from tests.rounds import Rounds, in_sample_and_soak

__all__ = ["founded_home", "office"]

MOMENT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SHA256 = bytes(range(32))
UPLOAD_ID = "0123456789abcdef" * 2
PROFILES = (files("keystead.pki") / "profiles.toml").read_bytes()
GATEWAY = b"""
[profiles.gateway]
purposes = ["serverAuth", "clientAuth"]
lifetime = "30d"
max-lifetime = "90d"
dns = [".example.org"]
ips = ["10.0.0.0/8", "fd00::/8"]
wildcards = false
needs-host = true
"""
CA_TOML = encode(configuration(DEV, public_url="http://pki.example.org")) + GATEWAY
PROOF = renewal.prove(key("old"), DOMAIN, "5e41a1", key("new").public_key()).encode()
STATE = State(10, tus.Metadata.of_file("report.txt"), (SHA256,), floor=5)


@dataclass(frozen=True)
class Parser:
    """What reads the text, and a good one; it gives a value or raises a `KeysteadError`."""

    good: tuple[bytes, ...]
    read: Callable[[bytes], object]


def text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    """A reader of a header's value, which HTTP gives as Latin-1."""
    return lambda data: read(data.decode("latin-1"))


PURE = {
    "ca.toml": Parser((CA_TOML,), lambda data: decode(data, "ca.toml")),
    "profiles.toml": Parser((PROFILES,), lambda data: parse_profiles(data.decode("utf-8", "replace"), "it")),
    "a renewal proof": Parser((PROOF,), renewal.decode),
    "a receipt": Parser((Receipt("report.txt", 10, SHA256).to_json(),), Receipt.parse),
    "a list of files": Parser((list_to_json([Entry("report.txt", 10, MOMENT, SHA256)] * 2),), parse_list),
    "whoami": Parser(
        (Caller(Identity(DOMAIN, "client", "alice"), "5e41a1", MOMENT).to_json(),), Caller.parse
    ),
    "a problem document": Parser(
        (Problem(403, "revoked", "what", "why", "mend").to_json(),), lambda data: Problem.parse(data, 403)
    ),
    "a list of uploads": Parser(
        (tus.list_to_json([tus.Pending(UPLOAD_ID, "report.txt", 10, 5, MOMENT, False)]),), tus.parse_list
    ),
    "Upload-Metadata": Parser(
        (b"filename cmVwb3J0LnR4dA==,filetype dGV4dA==", b"is_confidential"),
        text(lambda value: tus.Metadata.parse(value).file_name()),
    ),
    "Upload-Checksum": Parser((b"sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",), text(tus.Checksum.parse)),
    "Upload-Length": Parser((b"1048576",), text(lambda value: tus.parse_octets(value, "Upload-Length"))),
    "Upload-Expires": Parser((tus.expires_field(MOMENT).encode(),), text(tus.parse_expires)),
    "Location": Parser((f"https://localhost:8443/tus/{UPLOAD_ID}".encode(),), text(tus.parse_location)),
    "Range": Parser((b"bytes=5-9", b"bytes=-5", b"bytes=5-"), text(lambda value: parse_range(value, 10))),
    "If-Match": Parser(
        (b'"' + b"a" * 64 + b'", W/"b"', b"*"),
        text(lambda value: Conditions(value, value, value).check_change('"' + "a" * 64 + '"')),
    ),
    "Repr-Digest": Parser((b"sha-256=:" + b"A" * 43 + b"=:, sha-512=:AA==:;a",), text(parse_digest_field)),
    "a file's name": Parser((b"report%202026.pdf", b"%C3%A4"), parse_file_name),
}


def check(parser: Parser, name: str, rounds: Rounds) -> None:
    for chance in rounds.play(SAMPLE):
        for _ in range(PER_ROUND):
            data = mutated(chance.choice(parser.good), chance)
            try:
                parser.read(data)
            except KeysteadError as error:
                assert error.what
            except Exception as error:
                raise AssertionError(f"{name} stumbled over {data[:2000]!r}") from error


@in_sample_and_soak
@pytest.mark.parametrize("name", PURE)
def test_what_is_mangled_is_understood_or_refused(name: str, rounds: Rounds) -> None:
    check(PURE[name], name, rounds)


@pytest.mark.parametrize("name", PURE)
def test_what_is_good_is_understood(name: str) -> None:
    for good in PURE[name].good[:1]:
        try:
            PURE[name].read(good)
        except KeysteadError as error:
            assert error.code == "precondition-failed"


# Keystead's own small files


def in_folder(folder: Path) -> dict[str, Parser]:
    """The readers of files in ``folder`` that keystead itself wrote, each with such a file."""
    domain = TrustDomain("dev.example.internal")

    def at(path: Path, read: Callable[[], object]) -> Callable[[bytes], object]:
        def write_and_read(data: bytes) -> object:
            path.parent.mkdir(exist_ok=True, mode=0o700)
            path.write_bytes(data)
            return read()

        return write_and_read

    def uploads() -> object:
        octets_path, _ = paths(folder / "alice" / FOLDER, UPLOAD_ID)
        octets_path.write_bytes(bytes(5))
        held_by = Uploads(folder / "alice", UploadLimits().expiry)
        reserved_octets(folder / "alice")
        if (held := held_by.take(UPLOAD_ID)) is not None:
            held.close()
        return tuple(held_by.pending()), held_by.find(UPLOAD_ID)

    state = paths(folder / "alice" / FOLDER, UPLOAD_ID)[1]
    (folder / "alice").mkdir()
    return {
        "the numbers of the lists": Parser(
            (b'{"aabb": 1764000000, "ccdd": 7}',),
            at(folder / ".crl.pem.numbers", CrlFile(folder / "crl.pem").numbers),
        ),
        "the last server": Parser(
            (b"https://localhost:8443\n",), at(folder / ".last-server", lambda: choose(None, {}, folder).url)
        ),
        "whose uploads they are": Parser(
            (b"dev.example.internal\n",), at(folder / ".trust-domain", lambda: open_store(folder, domain))
        ),
        "an upload's state": Parser((STATE.to_json(),), at(state, uploads)),
        "a file's digest": Parser((SHA256.hex().encode() + b" 5 1764000000000000000",), noted_digest(folder)),
    }


def noted_digest(folder: Path) -> Callable[[bytes], object]:
    path = folder / "noted"
    path.write_bytes(b"12345")

    def read(data: bytes) -> object:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            state = b" %d %d" % (status.st_size, status.st_mtime_ns)
            os.setxattr(path, "user.keystead.sha256", data[:64] + state)
            return Digests().of(file.fileno())

    return read


OWN = (
    "the numbers of the lists",
    "the last server",
    "whose uploads they are",
    "an upload's state",
    "a file's digest",
)


@in_sample_and_soak
@pytest.mark.parametrize("name", OWN)
def test_a_file_of_its_own_that_is_mangled_is_understood_or_refused(
    tmp_path: Path, name: str, rounds: Rounds
) -> None:
    check(in_folder(tmp_path)[name], name, rounds)


# A CA whose ca.toml was mangled


@in_sample_and_soak
def test_a_ca_whose_configuration_is_mangled_stays_what_it_is_or_is_not_opened(
    office: Office, rounds: Rounds
) -> None:
    """The trust domain stands in its certificates too: nothing is signed for another one."""
    path = office.home.folder(DEV) / "ca.toml"
    good, was = path.read_bytes(), office.charter().trust_domain
    for chance in rounds.play(SAMPLE):
        for _ in range(PER_ROUND):
            path.write_bytes(data := mutated(good, chance))
            try:
                assert read_charter(Home(office.home.path), DEV).trust_domain == was
            except KeysteadError:
                continue
            except Exception as error:
                raise AssertionError(f"ca.toml: {data[:2000]!r}") from error
