"""keys.db: one environment a key, and what is barred stays barred."""

from __future__ import annotations

import multiprocessing
import stat
from collections.abc import Iterator
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from keystead.ca.claims import COMPROMISED, Claims, create_claims, open_claims
from keystead.errors import BadInput, KeysteadError, WrongUsage
from keystead.pki.names import check_environment


@pytest.fixture
def claims(tmp_path: Path) -> Iterator[Claims]:
    with create_claims(tmp_path / "keys.db") as opened:
        yield opened


def test_a_free_key_is_claimed_and_stays_so(claims: Claims) -> None:
    assert claims.claim(["aa", "bb"], "dev") == {"aa": "dev", "bb": "dev"}
    assert claims.claim(["aa"], "dev") == {"aa": "dev"}
    with open_claims(claims.path) as again:
        assert again.holders(["aa", "bb", "cc"]) == {"aa": "dev", "bb": "dev"}


def test_a_key_of_another_environment_is_listed_and_the_free_ones_are_claimed(claims: Claims) -> None:
    claims.claim(["aa"], "prod")
    assert claims.claim(["aa", "bb"], "dev") == {"aa": "prod", "bb": "dev"}


def test_a_compromised_key_is_barred_for_ever_whoever_held_it(claims: Claims) -> None:
    claims.claim(["aa"], "prod")
    claims.mark_compromised(["aa", "bb"])
    assert claims.claim(["aa", "bb"], "prod") == {"aa": COMPROMISED, "bb": COMPROMISED}


def test_no_environment_can_be_called_what_holds_compromised_keys() -> None:
    with pytest.raises(WrongUsage):
        check_environment(COMPROMISED)


def test_thousands_are_looked_up_at_once(claims: Claims) -> None:
    keys = [f"{n:064x}" for n in range(3000)]
    assert claims.claim(iter(keys), "dev") == dict.fromkeys(keys, "dev")


def test_looking_claims_nothing(claims: Claims) -> None:
    assert claims.holders(["aa"]) == {}
    assert claims.claim(["aa"], "prod") == {"aa": "prod"}


def test_the_file_is_private(claims: Claims) -> None:
    claims.claim(["aa"], "dev")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in claims.path.parent.glob("keys.db*")}
    assert modes == {0o600}


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "keys.db").write_bytes(b"x" * 5000)
    with pytest.raises(BadInput, match=r"keys\.db"):
        create_claims(tmp_path / "keys.db")


def test_a_folder_in_its_place_is_an_error_with_a_mend(tmp_path: Path) -> None:
    (tmp_path / "keys.db").mkdir()
    with pytest.raises(KeysteadError) as raised:
        create_claims(tmp_path / "keys.db")
    assert raised.value.mend


ROUNDS = 30


def _claim(folder: Path, environment: str, barrier: Barrier, answers: Queue[int]) -> None:
    keys = [f"{n:02x}" for n in range(20)]
    got = 0
    for number in range(ROUNDS):
        barrier.wait(30)
        with create_claims(folder / f"{number}.db") as claims:
            got += sum(claims.claim([key], environment)[key] == environment for key in keys)
    answers.put(got)


@pytest.mark.slow
def test_processes_that_make_the_file_and_claim_at_once_share_the_keys_without_overlap(
    tmp_path: Path,
) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(4), context.Queue()
    processes = [
        context.Process(target=_claim, args=(tmp_path, environment, barrier, answers))
        for environment in ("dev", "test", "staging", "prod")
    ]
    for process in processes:
        process.start()
    got = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert sum(got) == 20 * ROUNDS
