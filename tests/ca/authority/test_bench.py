from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from keystead.ca.authority.batch import sign
from keystead.ca.authority.bench import Bench, Desk, LocalBench, ToCheck, ToIssue, forked_bench
from keystead.ca.authority.model import Outcome, Rejected, Signed, Submission
from keystead.ca.authority.submit import Examined
from keystead.ca.home import open_issuer
from keystead.errors import Refused, Unavailable
from keystead.pki.facts import Facts, Grant, Wishes
from keystead.pki.keys import KeyType, generate, private_pem
from keystead.pki.names import Identity
from tests.ca.office import Office
from tests.pki.makers import SERVER, csr_pem, key

MANY = 300


def submissions() -> list[Submission]:
    """A batch in which every tenth is bad, each in another way."""
    bad = {
        3: b"not a csr",
        13: private_pem(key("leaked")),
        23: csr_pem("Upper"),
        33: csr_pem("wants-server", purposes=[SERVER]),
        43: csr_pem("weak", signer=key("leaked")),
        53: csr_pem("user-52", signer=key("another")),
    }
    keys = [generate(KeyType.P256) for _ in range(MANY)]
    data = [bad.get(number) or csr_pem(f"user-{number}", signer=keys[number]) for number in range(MANY)]
    return [Submission(f"{number}.csr", each, Wishes()) for number, each in enumerate(data)]


def run(office: Office, bench: Bench, batch: list[Submission]) -> list[Outcome]:
    with office.authority() as authority:
        return [outcome for group in sign(authority, bench, batch) for outcome in group]


def told(outcome: Outcome) -> tuple[Any, ...]:
    if isinstance(outcome, Rejected):
        error = outcome.error
        return outcome.source, error.code, error.what, error.why, error.mend, getattr(error, "violations", ())
    return outcome.source, str(outcome.identity), outcome.certificate.key_fingerprint


@pytest.mark.slow
def test_workers_give_the_same_outcomes_as_one_process(
    office: Office, tmp_path: Path, founded_home: Path
) -> None:
    shutil.copytree(founded_home, tmp_path / "twin")
    twin = Office(tmp_path / "twin")
    batch = submissions()
    charter = office.charter()
    profiles, issuer = charter.configuration.profiles, open_issuer(charter, office.secrets)
    alone = run(office, LocalBench(profiles, lambda: issuer), batch)
    with forked_bench(profiles, issuer, workers=2) as bench:
        together = run(twin, bench, batch)
    assert [told(outcome) for outcome in together] == [told(outcome) for outcome in alone]
    assert sum(isinstance(outcome, Signed) for outcome in alone) == MANY - 6
    for outcome in together:
        if isinstance(outcome, Signed):
            assert outcome.certificate.der


@pytest.mark.slow
def test_a_worker_that_dies_is_told_and_nothing_is_recorded(office: Office) -> None:
    charter = office.charter()
    issuer = open_issuer(charter, office.secrets)
    with forked_bench(charter.configuration.profiles, issuer, workers=1) as bench:
        (worker,) = multiprocessing.active_children()
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(Unavailable, match="worker process died"):
            run(office, bench, [Submission("a.csr", csr_pem("alice"), Wishes())])
    office.signed(csr_pem("alice"))


@pytest.mark.slow
def test_workers_end_with_the_bench(office: Office) -> None:
    charter = office.charter()
    issuer = open_issuer(charter, office.secrets)
    before = set(multiprocessing.active_children())
    with forked_bench(charter.configuration.profiles, issuer, workers=3):
        assert len(set(multiprocessing.active_children()) - before) == 3
    assert set(multiprocessing.active_children()) <= before


def test_what_was_answered_is_let_go_of(office: Office) -> None:
    charter = office.charter()
    desk = Desk(charter.configuration.profiles, lambda: open_issuer(charter, office.secrets))
    (examined,) = desk.examine([(7, "a.csr", csr_pem("alice"))])
    assert isinstance(examined, Examined)
    domain = charter.trust_domain
    check = ToCheck(7, Identity(domain, "client", "alice"), Wishes(), Facts(domain))
    assert isinstance(desk.check([check], office.now)[0], Grant)
    assert len(desk.issue([ToIssue(7, 1)], office.now)) == 1
    desk.forget([7])
    with pytest.raises(KeyError):
        desk.issue([ToIssue(7, 2)], office.now)
    with pytest.raises(KeyError):
        desk.check([check], office.now)


def test_nothing_is_signed_that_was_examined_and_refused(office: Office) -> None:
    charter = office.charter()
    desk = Desk(charter.configuration.profiles, lambda: open_issuer(charter, office.secrets))
    desk.examine([(7, "a.csr", csr_pem("alice", signer=key("mallory"), purposes=[SERVER]))])
    domain = charter.trust_domain
    check = ToCheck(7, Identity(domain, "client", "alice"), Wishes(), Facts(domain))
    assert isinstance(desk.check([check], office.now)[0], Refused)
    with pytest.raises(KeyError):
        desk.issue([ToIssue(7, 1)], office.now)


def test_the_key_is_not_asked_for_where_nothing_is_granted(office: Office) -> None:
    charter = office.charter()

    def issuer() -> Any:
        raise AssertionError("the key was asked for")

    (outcome,) = run(
        office,
        LocalBench(charter.configuration.profiles, issuer),
        [Submission("a.csr", csr_pem("Alice"), Wishes())],
    )
    assert isinstance(outcome, Rejected)
