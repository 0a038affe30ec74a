from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.errors import BadInput, KeysteadError
from keystead.pki.names import TrustDomain
from keystead.pki.revocation import MAX_CRLS, crl_number, load_crls
from keystead.tls.contexts import ServerCredentials
from keystead.tls.crlfetch import Fetcher, Taken, fetch_first, take
from keystead.tls.crlfile import CrlFile
from keystead.tls.crlurl import CrlUrl, Remote
from tests.tls.listserver import ListServer, answers, list_server, says
from tests.tls.throwaway import Environment, now

URL = CrlUrl.parse("http://pki.example.org/crl.pem")


@pytest.fixture(scope="module")
def env() -> Environment:
    return Environment(TrustDomain("dev.example.internal"))


@pytest.fixture
def path(tmp_path: Path, env: Environment) -> Path:
    """The file as `install` left it, with the lists of number 5."""
    (tmp_path / "crl.pem").write_bytes(env.crl_pem(number=5))
    return tmp_path / "crl.pem"


def taken(env: Environment, body: bytes, path: Path) -> Taken:
    return take(body, URL, path, (env.root.certificate, env.issuing.certificate), now())


def numbers(path: Path) -> list[int]:
    return sorted(map(crl_number, load_crls(path.read_bytes(), str(path))))


def test_newer_lists_come_into_the_file_that_everybody_may_read(env: Environment, path: Path) -> None:
    body = env.crl_pem(env.leaf("carol"), number=6)
    found = taken(env, body, path)
    assert found.numbers is not None
    assert (set(found.numbers.values()), found.refusals) == ({6}, ())
    assert numbers(path) == [6, 6]
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_first_lists_come_into_a_folder_that_has_none(env: Environment, path: Path) -> None:
    path.unlink()
    taken(env, env.crl_pem(number=6), path)
    assert numbers(path) == [6, 6]


def test_one_list_in_der_leaves_that_of_the_other_ca_in_place(env: Environment, path: Path) -> None:
    issuings, _ = env.crls(number=6)
    taken(env, issuings.public_bytes(Encoding.DER), path)
    assert numbers(path) == [5, 6]


def test_the_same_lists_do_not_touch_the_file(env: Environment, path: Path) -> None:
    before = path.stat()
    assert taken(env, path.read_bytes(), path) == Taken(None, ())
    assert path.stat() == before


def forged(env: Environment) -> bytes:
    """Of a CA of the same name and key identifier in the list, signed by another key."""
    good = env.crls(number=9)[0].public_bytes(Encoding.DER)
    return good[:-4] + bytes(octet ^ 1 for octet in good[-4:])


@pytest.mark.parametrize(
    ("kind", "code"),
    [("older", "crl-rollback"), ("another CA's", "crl-unknown-issuer"), ("forged", "crl-invalid")],
)
def test_what_is_older_or_not_of_a_ca_that_is_known_never_touches_the_file(
    env: Environment, path: Path, kind: str, code: str
) -> None:
    other = Environment(TrustDomain("prod.example.internal"))
    bodies = {
        "older": env.crl_pem(number=4),
        "another CA's": other.crl_pem(number=9),
        "forged": forged(env),
    }
    before = path.stat()
    found = taken(env, bodies[kind], path)
    assert found.numbers is None
    assert {refusal.code for refusal in found.refusals} == {code}
    assert path.stat() == before


def test_a_list_older_than_one_ever_in_force_is_not_taken_though_the_file_is_gone(
    env: Environment, path: Path
) -> None:
    CrlFile(path).remember(env.crl_set(*env.crls(number=5)).numbers())
    path.unlink()
    found = taken(env, env.crl_pem(number=4), path)
    assert {refusal.code for refusal in found.refusals} == {"crl-rollback"}
    assert not path.exists()


def test_good_lists_are_taken_from_among_others(env: Environment, path: Path) -> None:
    other = Environment(TrustDomain("prod.example.internal"))
    found = taken(env, other.crl_pem(number=9) + env.crl_pem(number=6), path)
    assert numbers(path) == [6, 6]
    assert [refusal.code for refusal in found.refusals] == ["crl-unknown-issuer"] * 2


@pytest.mark.parametrize("body", [b"", b"<html>", b"-----BEGIN X509 CRL-----\nMIIB", bytes(10_000)])
def test_garbage_is_refused_and_named_by_its_url(env: Environment, path: Path, body: bytes) -> None:
    before = path.stat()
    with pytest.raises(BadInput, match=r"pki\.example\.org"):
        taken(env, body, path)
    assert path.stat() == before


def test_more_lists_than_are_read_are_refused(env: Environment, path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        taken(env, env.crl_pem(number=6) * (MAX_CRLS // 2) + env.crl_pem(number=6), path)
    assert f"more than the {MAX_CRLS} lists" in caught.value.why


def test_a_broken_file_is_mended_by_good_lists(env: Environment, path: Path) -> None:
    path.write_bytes(b"half")
    taken(env, env.crl_pem(number=6), path)
    assert numbers(path) == [6, 6]


class Fetching:
    """A fetcher that is asked to look by hand, and what it told."""

    def __init__(self, url: str, path: Path, credentials: ServerCredentials) -> None:
        self.told: list[str] = []
        self.remote = Remote(CrlUrl.parse(url), timedelta(seconds=1))
        self.fetcher = Fetcher(
            self.remote,
            path,
            credentials=lambda: credentials,
            fetched=self._fetched,
            warn=self._warn,
            recovered=lambda: self.told.append("recovered"),
        )

    def _fetched(self, numbers: Mapping[bytes, int]) -> None:
        self.told.append(f"fetched {max(numbers.values())}")

    def _warn(self, error: KeysteadError) -> None:
        self.told.append(error.code)

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            asyncio.run(self.fetcher.look())


@pytest.fixture
def server() -> Iterator[ListServer]:
    with list_server() as running:
        yield running


@pytest.fixture
def fetching(server: ListServer, path: Path, env: Environment) -> Fetching:
    return Fetching(server.url, path, env.credentials(env.leaf("web", "server")))


def test_after_a_whole_answer_the_question_is_conditional_until_the_file_changes(
    server: ListServer, fetching: Fetching, path: Path, env: Environment
) -> None:
    server.script = answers(env.crl_pem(number=6), 'ETag: "six"')
    fetching.look()
    server.script = says(b"HTTP/1.1 304 Not Modified\r\n\r\n")
    fetching.look(2)
    assert ["If-None-Match" in head for head in server.heads] == [False, True, True]
    path.write_bytes(env.crl_pem(number=5))  # as a restored backup would
    server.script = answers(env.crl_pem(number=6), 'ETag: "six"')
    fetching.look()
    assert "If-None-Match" not in server.heads[-1]
    assert numbers(path) == [6, 6]
    assert fetching.told == ["fetched 6", "fetched 6"]


def test_each_cause_is_warned_of_once_and_its_end_is_told(
    server: ListServer, fetching: Fetching, path: Path, env: Environment
) -> None:
    fetching.look(3)
    server.script = answers(env.crl_pem(number=4), 'ETag: "four"')
    fetching.look(3)
    server.script = answers(b"garbage")
    fetching.look(3)
    server.script = answers(env.crl_pem(number=6))
    fetching.look(3)
    assert fetching.told == [
        "crl-unreachable",
        *("crl-rollback", "crl-rollback"),  # one of each CA
        "bad-crl",
        "fetched 6",
        "recovered",
    ]
    assert not any("If-None-Match" in head for head in server.heads)


def test_a_file_that_cannot_be_written_is_warned_of_and_tried_again(
    server: ListServer, fetching: Fetching, path: Path, env: Environment
) -> None:
    server.script = answers(env.crl_pem(number=6), 'ETag: "six"')
    path.unlink()
    path.mkdir()
    fetching.look(2)
    assert len(fetching.told) == 1
    path.rmdir()
    fetching.look()
    assert fetching.told[1:] == ["fetched 6", "recovered"]


def test_the_first_question_takes_what_is_there(
    server: ListServer, fetching: Fetching, path: Path, env: Environment
) -> None:
    server.script = answers(env.crl_pem(number=6))
    credentials = env.credentials(env.leaf("web", "server"))
    assert asyncio.run(fetch_first(fetching.remote, path, credentials)) == ()
    assert numbers(path) == [6, 6]
