"""Two `ca sign` at once on one home: whatever the order, one wins and nothing is half done."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest

from keystead.ca.audit import log
from keystead.ca.authority.issue import issue
from keystead.ca.authority.model import Outcome, Rejected, Repeated, Signed
from keystead.errors import KeysteadError
from tests.ca.authority.test_signing import codes, renewal_of
from tests.ca.office import DEV, STAGING, Office
from tests.pki.makers import csr_pem, key

ROUNDS = 3
PATIENCE = 60

FORK = multiprocessing.get_context("fork")


def at_once(*calls: Callable[[], list[Outcome]]) -> list[list[Outcome]]:
    """What each of ``calls`` gives, all run in processes of their own that begin together."""
    barrier = FORK.Barrier(len(calls))
    pipes, processes = [], []
    for call in calls:
        ours, theirs = FORK.Pipe(duplex=False)
        process = FORK.Process(target=_run, args=(call, barrier, theirs))
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    answers = []
    for pipe in pipes:
        assert pipe.poll(PATIENCE), "a signing process hangs"
        answers.append(pipe.recv())
    for process in processes:
        process.join(PATIENCE)
    return answers


def _run(call: Callable[[], list[Outcome]], barrier: Barrier, pipe: Connection) -> None:
    barrier.wait(PATIENCE)
    try:
        pipe.send(call())
    except KeysteadError as error:
        pipe.send([Rejected("?", error)])


def kinds(answers: list[list[Outcome]]) -> list[str]:
    return sorted(type(outcome).__name__ for outcomes in answers for outcome in outcomes)


def whole(office: Office, environment: str = DEV) -> bool:
    with office.authority(environment) as authority, authority.inventory.reading() as tx:
        return log.verify(tx).size > 0


@pytest.mark.slow
def test_the_same_csr_at_once_gives_one_certificate_to_both(office: Office) -> None:
    for number in range(ROUNDS):
        csr = csr_pem(f"alice-{number}", signer=key(f"racer {number}"))
        answers = at_once(*[partial(office.outcomes, csr)] * 2)
        (one,), (other,) = answers
        assert isinstance(one, Signed | Repeated), one
        assert isinstance(other, Signed | Repeated), other
        assert one.certificate == other.certificate
        assert kinds(answers) == ["Repeated", "Signed"]
    assert whole(office)


@pytest.mark.slow
def test_of_two_keys_at_once_for_one_identity_one_wins(office: Office) -> None:
    for number in range(ROUNDS):
        csrs = [csr_pem(f"bob-{number}", signer=key(f"racer {number}{side}")) for side in "ab"]
        answers = at_once(*[partial(office.outcomes, csr) for csr in csrs])
        assert kinds(answers) == ["Rejected", "Signed"]
        (error,) = [each.error for (each,) in answers if isinstance(each, Rejected)]
        assert codes(error) == ["live-key"]
        assert len(office.known(f"bob-{number}")) == 1
    assert whole(office)


@pytest.mark.slow
def test_of_two_identities_at_once_for_one_key_one_wins(office: Office) -> None:
    for number in range(ROUNDS):
        csrs = [csr_pem(f"carol-{number}{side}", signer=key(f"racer c{number}")) for side in "ab"]
        answers = at_once(*[partial(office.outcomes, csr) for csr in csrs])
        assert kinds(answers) == ["Rejected", "Signed"]
    assert whole(office)


@pytest.mark.slow
def test_of_two_renewals_at_once_of_one_certificate_one_wins(office: Office) -> None:
    old = office.signed(csr_pem("alice"))
    csrs = [renewal_of(old, "alice", f"alice-2{side}") for side in "ab"]
    answers = at_once(*[partial(office.outcomes, csr) for csr in csrs])
    assert kinds(answers) == ["Rejected", "Signed"]


@pytest.mark.slow
def test_of_two_environments_at_once_for_one_key_one_wins(office: Office) -> None:
    for number in range(ROUNDS):
        csr = csr_pem(f"dora-{number}", signer=key(f"racer d{number}"))
        answers = at_once(partial(office.outcomes, csr), partial(office.outcomes, csr, environment=STAGING))
        assert kinds(answers) == ["Rejected", "Signed"]
        (error,) = [each.error for (each,) in answers if isinstance(each, Rejected)]
        assert error.code == "foreign-key"
    assert whole(office)
    assert whole(office, STAGING)


def before_the_transaction(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], Any]) -> None:
    """Let ``meanwhile`` happen once, after the request was granted and before it is issued."""
    happened: list[bool] = []

    def late(*arguments: Any) -> Any:
        if not happened:
            happened.append(True)
            meanwhile()
        return issue(*arguments)

    monkeypatch.setattr("keystead.ca.authority.batch.issue", late)


def test_a_key_that_is_barred_after_it_was_granted_gets_no_certificate(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.signed(csr := csr_pem("alice"))
    before_the_transaction(monkeypatch, lambda: office.revoke("alice", "keyCompromise"))
    error = office.refused(csr, may_reissue=True)
    assert error.code in {"compromised-key", "foreign-key"}
    assert len(office.known("alice")) == 1


def test_a_certificate_that_is_revoked_after_its_renewal_was_granted_renews_nothing(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = office.signed(csr_pem("alice"))
    before_the_transaction(monkeypatch, lambda: office.revoke("alice"))
    assert codes(office.refused(renewal_of(old, "alice", "alice-2"))) == ["revoked"]


def test_an_identity_that_is_taken_after_it_was_granted_is_refused(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_the_transaction(monkeypatch, lambda: office.signed(csr_pem("alice", signer=key("mallory"))))
    assert codes(office.refused(csr_pem("alice"))) == ["live-key"]


def test_a_key_that_another_environment_claims_meanwhile_is_refused(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_the_transaction(monkeypatch, lambda: office.signed(csr_pem("alice"), environment=STAGING))
    error = office.refused(csr_pem("alice"))
    assert codes(error) == ["foreign-key"]
    assert "'staging'" in error.why


def test_one_lost_race_in_a_batch_does_not_hurt_the_others(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_the_transaction(monkeypatch, lambda: office.signed(csr_pem("alice", signer=key("mallory"))))
    outcomes = office.outcomes(csr_pem("bob"), csr_pem("alice"), csr_pem("carol"))
    assert [type(outcome) for outcome in outcomes] == [Signed, Rejected, Signed]
