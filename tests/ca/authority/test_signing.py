from __future__ import annotations

import sqlite3
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from keystead.ca.audit import log
from keystead.ca.authority.batch import sign
from keystead.ca.authority.bench import LocalBench
from keystead.ca.authority.model import Rejected, Repeated, Signed, Submission
from keystead.ca.home import open_issuer
from keystead.errors import Refused, Unavailable
from keystead.pki.facts import Wishes
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import private_pem
from keystead.pki.names import HostNames, TrustDomain
from keystead.pki.renewal import prove
from tests.ca.office import DEV, STAGING, Office, certificate
from tests.pki.makers import SERVER, csr_pem, key

DEV_DOMAIN = TrustDomain("dev.example.internal")


def renewal_of(old: Signed, old_key: str, new_key: str, name: str = "alice") -> bytes:
    proof = prove(key(old_key), DEV_DOMAIN, old.certificate.serial, key(new_key).public_key())
    return csr_pem(name, signer=key(new_key), proof=proof)


def codes(error: object) -> list[str]:
    assert isinstance(error, Refused), error
    return [violation.code for violation in error.violations]


# One and several


def test_a_csr_is_signed_by_the_issuing_ca_and_recorded(office: Office) -> None:
    answer = office.signed(csr_pem("alice"))
    certificate(answer).verify_directly_issued_by(office.charter().issuing)
    (record,) = office.known("alice")
    assert record.certificate == answer.certificate
    assert record.revocation is None


def test_the_good_are_signed_and_the_bad_are_listed_in_their_order(office: Office) -> None:
    outcomes = office.outcomes(csr_pem("alice"), b"hello", csr_pem("bob"), csr_pem("Carol"))
    assert [type(outcome) for outcome in outcomes] == [Signed, Rejected, Signed, Rejected]
    assert [outcome.source for outcome in outcomes] == ["0.csr", "1.csr", "2.csr", "3.csr"]


def test_a_name_of_no_profile_is_refused_naming_those_that_there_are(office: Office) -> None:
    error = office.refused(csr_pem("alice"), profile="gateway")
    assert error.code == "no-profile"
    assert "client, server, operator" in error.why


def test_of_one_key_twice_in_a_batch_the_first_wins(office: Office) -> None:
    outcomes = office.outcomes(csr_pem("alice"), csr_pem("bob", signer=key("alice")))
    assert isinstance(outcomes[0], Signed)
    assert isinstance(outcomes[1], Rejected)
    assert codes(outcomes[1].error) == ["twice"]


def test_of_one_identity_twice_in_a_batch_the_first_wins(office: Office) -> None:
    outcomes = office.outcomes(csr_pem("alice"), csr_pem("alice", signer=key("mallory")))
    assert isinstance(outcomes[0], Signed)
    assert isinstance(outcomes[1], Rejected)
    assert codes(outcomes[1].error) == ["twice"]
    assert len(office.known("alice")) == 1


@pytest.fixture
def groups_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keystead.ca.authority.batch.GROUP", 2)


@pytest.mark.usefixtures("groups_of_two")
def test_outcomes_of_many_groups_stand_in_the_order_of_their_csrs(office: Office) -> None:
    data = [csr_pem(f"user-{number}", signer=key(f"{number}")) for number in range(7)]
    data[3] = b"not a csr"
    outcomes = office.outcomes(*data)
    assert [outcome.source for outcome in outcomes] == [f"{number}.csr" for number in range(7)]
    assert [isinstance(outcome, Signed) for outcome in outcomes] == [number != 3 for number in range(7)]
    with office.authority() as authority, authority.inventory.reading() as tx:
        log.verify(tx)


@pytest.mark.usefixtures("groups_of_two")
@pytest.mark.parametrize("again", range(1, 7))
def test_of_one_key_twice_in_different_groups_the_first_wins_too(office: Office, again: int) -> None:
    # What the second's facts were read from may be older than the first's record: groups overlap.
    data = [csr_pem(f"user-{number}", signer=key(f"{number}")) for number in range(7)]
    data[again] = csr_pem("another", signer=key("0"))
    outcomes = office.outcomes(*data)
    rejected = outcomes.pop(again)
    assert isinstance(rejected, Rejected)
    assert codes(rejected.error) in (["twice"], ["key-in-use"])  # recorded by then: in use
    assert all(isinstance(outcome, Signed) for outcome in outcomes)


@pytest.mark.usefixtures("groups_of_two")
@pytest.mark.parametrize("again", range(1, 9))
def test_one_csr_twice_is_refused_however_many_groups_lie_between(office: Office, again: int) -> None:
    # Where the first is recorded when the second is decided, the second repeats it; in one run that is twice.
    data = [csr_pem(f"user-{number}", signer=key(f"{number}")) for number in range(9)]
    data[again] = data[0]
    outcomes = office.outcomes(*data)
    rejected = outcomes.pop(again)
    assert isinstance(rejected, Rejected)
    assert codes(rejected.error) == ["twice"]
    assert all(isinstance(outcome, Signed) for outcome in outcomes)
    assert [type(outcome) for outcome in office.outcomes(data[0], data[0])] == [Repeated, Repeated]


@pytest.mark.usefixtures("groups_of_two")
def test_each_group_is_recorded_before_it_is_given_out(office: Office) -> None:
    charter = office.charter()
    bench = LocalBench(charter.configuration.profiles, lambda: open_issuer(charter, office.secrets))
    batch = [Submission(f"{n}.csr", csr_pem(f"user-{n}", signer=key(f"{n}")), Wishes()) for n in range(7)]
    with office.authority() as authority:
        for group in sign(authority, bench, iter(batch)):
            for outcome in group:
                assert isinstance(outcome, Signed)
                assert [found.certificate for found in office.known(outcome.identity.name)] == [
                    outcome.certificate
                ]


def test_an_empty_batch_is_nothing(office: Office) -> None:
    assert office.outcomes() == []


# Durable before it is given out


def test_what_is_given_out_stands_in_the_inventory_of_another_process_already(office: Office) -> None:
    charter = office.charter()
    bench = LocalBench(charter.configuration.profiles, lambda: open_issuer(charter, office.secrets))
    with office.authority() as authority:
        for group in sign(authority, bench, [Submission("a.csr", csr_pem("alice"), Wishes())]):
            (outcome,) = group
            assert isinstance(outcome, Signed)
            assert [record.certificate for record in office.known("alice")] == [outcome.certificate]


def test_what_cannot_be_recorded_is_not_given_out(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise Unavailable("the disk is full")

    monkeypatch.setattr("keystead.ca.inventory.writes.record", full)
    with pytest.raises(Unavailable, match="disk is full"):
        office.outcomes(csr_pem("alice"))
    monkeypatch.undo()
    with pytest.raises(Exception, match="issued nothing to 'alice'"):
        office.known("alice")
    office.signed(csr_pem("alice"))  # the same environment holds the key since, and that is no hindrance


# The same again


def test_the_same_csr_again_gives_the_same_certificate(office: Office) -> None:
    first = office.signed(csr := csr_pem("alice"))
    office.later(days=19)
    assert office.repeated(csr).certificate == first.certificate


def test_the_same_csr_after_two_thirds_gives_a_fresh_certificate(office: Office) -> None:
    first = office.signed(csr := csr_pem("alice"))
    office.later(days=21)
    second = office.signed(csr)
    assert second.certificate.serial != first.certificate.serial
    office.later(days=1)
    assert office.repeated(csr).certificate == second.certificate


@pytest.mark.parametrize("minutes", [0, -4], ids=["in one second", "the clock set back"])
def test_the_newest_certificate_is_the_one_that_was_recorded_last(office: Office, minutes: int) -> None:
    csr = csr_pem("alice")
    issued = [office.signed(csr).certificate.serial]
    office.later(minutes=minutes)
    for _ in range(5):
        newest = office.signed(csr, may_reissue=True).certificate
        issued.append(newest.serial)
        assert office.repeated(csr).certificate == newest
    assert [record.certificate.serial for record in office.known("alice")] == issued


def test_the_same_csr_with_other_wishes_is_refused_until_reissue(office: Office) -> None:
    office.signed(csr := csr_pem("alice"))
    other = timedelta(days=3)
    assert codes(office.refused(csr, lifetime=other)) == ["other-wishes"]
    assert office.signed(csr, lifetime=other, may_reissue=True).certificate.not_after == office.now + other


def test_a_server_gets_what_the_operator_names(office: Office) -> None:
    asked = csr_pem("web", hosts=["old"], purposes=[SERVER])
    answer = office.signed(asked, profile="server", host_names=HostNames.of(["new"]))
    assert answer.certificate.sans == ("new",)
    assert answer.left_out == ("SAN old",)


def test_a_lifetime_beyond_the_profile_is_capped_and_that_is_told(office: Office) -> None:
    answer = office.signed(csr_pem("alice"), lifetime=timedelta(days=365))
    assert answer.capped
    assert answer.certificate.not_after == office.now + timedelta(days=90)


# One live key an identity


def test_another_key_needs_replace_which_revokes_the_old_at_once(office: Office) -> None:
    office.signed(csr_pem("alice"))
    other = csr_pem("alice", signer=key("alice-2"))
    assert codes(office.refused(other)) == ["live-key"]
    office.later(minutes=1)
    new = office.signed(other, may_replace=True)
    old, newest = office.known("alice")
    assert (old.revocation and old.revocation.reason) == "superseded"
    assert newest.certificate == new.certificate


def test_an_expired_certificate_holds_nothing(office: Office) -> None:
    office.signed(csr_pem("alice"), lifetime=timedelta(seconds=2))
    other = csr_pem("alice", signer=key("alice-2"))
    assert codes(office.refused(other)) == ["live-key"]
    office.later(seconds=2)
    office.signed(other)


def test_a_short_certificate_beside_a_long_one_does_not_set_the_identity_free(office: Office) -> None:
    office.signed(csr_pem("alice"))
    office.signed(csr_pem("alice"), lifetime=timedelta(seconds=2), may_reissue=True)
    office.later(seconds=3)
    assert codes(office.refused(csr_pem("alice", signer=key("alice-2")))) == ["live-key"]


def test_replace_ends_superseded_certificates_of_other_keys_too(office: Office) -> None:
    first = office.signed(csr_pem("alice"))
    office.later(minutes=1)
    office.signed(renewal_of(first, "alice", "alice-2"))
    office.later(minutes=1)
    office.signed(csr_pem("alice", signer=key("alice-3")), may_replace=True)
    ends = [found.revocation and found.revocation.reason for found in office.known("alice")]
    assert ends == ["superseded", "superseded", None]
    office.later(days=29)
    assert codes(office.refused(csr_pem("alice", signer=key("alice-4")))) == ["live-key"]
    office.later(days=2)
    office.signed(csr_pem("alice", signer=key("alice-4")))


def test_a_revoked_certificate_holds_nothing(office: Office) -> None:
    office.signed(csr_pem("alice"))
    office.revoke("alice")
    office.signed(csr_pem("alice", signer=key("alice-2")))


def test_one_name_of_two_profiles_is_two_identities(office: Office) -> None:
    office.signed(csr_pem("alice"))
    office.signed(
        csr_pem("alice", signer=key("alice's server"), purposes=[SERVER]),
        profile="server",
        host_names=HostNames.of(["a"]),
    )


# Renewal


def test_a_renewal_leaves_the_old_certificate_good_and_records_what_it_renews(office: Office) -> None:
    old = office.signed(csr_pem("alice"))
    office.later(minutes=1)
    new = office.signed(renewal_of(old, "alice", "alice-2"))
    first, second = office.known("alice")
    assert first.revocation is second.revocation is None
    assert second.certificate.renews == old.certificate.serial
    assert new.identity == old.identity


def test_after_a_renewal_the_old_key_renews_nothing(office: Office) -> None:
    old = office.signed(csr_pem("alice"))
    office.signed(renewal_of(old, "alice", "alice-2"))
    assert codes(office.refused(renewal_of(old, "alice", "mallory"))) == ["superseded"]


def test_a_renewed_key_renews_in_its_turn(office: Office) -> None:
    first = office.signed(csr_pem("alice"))
    second = office.signed(renewal_of(first, "alice", "alice-2"))
    third = office.signed(renewal_of(second, "alice-2", "alice-3"))
    assert third.certificate.renews == second.certificate.serial


def test_the_same_renewal_again_gives_the_same_certificate(office: Office) -> None:
    old = office.signed(csr_pem("alice"))
    new = office.signed(asked := renewal_of(old, "alice", "alice-2"))
    assert office.repeated(asked).certificate == new.certificate


def test_a_proof_of_another_environment_is_worth_nothing(office: Office) -> None:
    old = office.signed(csr_pem("alice"))
    asked = renewal_of(old, "alice", "alice-2")
    assert codes(office.refused(asked, environment=STAGING)) == ["foreign-renewal"]


def test_a_revoked_certificate_renews_nothing(office: Office) -> None:
    old = office.signed(csr_pem("alice"))
    office.revoke("alice")
    assert codes(office.refused(renewal_of(old, "alice", "alice-2"))) == ["revoked"]


# Nothing crosses


def test_a_key_of_one_environment_is_refused_in_the_other_naming_both(office: Office) -> None:
    office.signed(csr_pem("alice"))
    error = office.refused(csr_pem("alice"), environment=STAGING)
    assert codes(error) == ["foreign-key"]
    assert "'dev'" in error.why
    assert "'staging'" in error.why


def test_what_is_refused_claims_no_key(office: Office) -> None:
    office.refused(csr_pem("alice", purposes=[SERVER]))
    office.signed(csr_pem("alice"), environment=STAGING)


def test_the_cas_own_keys_are_certified_for_nobody(office: Office) -> None:
    own = open_issuer(office.charter(), office.secrets).key
    outcomes = office.outcomes(csr_pem("alice", signer=own), csr_pem("bob"))
    assert isinstance(outcomes[0], Rejected)
    assert codes(outcomes[0].error) == ["key-in-use"]
    assert isinstance(outcomes[1], Signed)
    assert codes(office.refused(csr_pem("alice", signer=own), environment=STAGING)) == ["foreign-key"]


@pytest.mark.parametrize("which", ["root", "issuing"])
def test_a_proof_that_names_a_cas_certificate_renews_nothing(office: Office, which: str) -> None:
    serial = f"{getattr(office.charter(), which).serial_number:x}"
    proof = prove(key("mallory"), DEV_DOMAIN, serial, key("mallory-2").public_key())
    asked = csr_pem("mallory", signer=key("mallory-2"), proof=proof)
    outcomes = office.outcomes(asked, csr_pem("bob"), may_replace=True)
    assert [type(outcome) for outcome in outcomes] == [Rejected, Signed]


# Private keys handed in


def plain_keys() -> dict[str, bytes]:
    alice = key("alice")
    der = alice.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    ssh = alice.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return {
        "PEM": private_pem(alice),
        "DER": der,
        "OpenSSH": ssh,
        "inside the CSR's file": csr_pem("alice") + private_pem(alice),
    }


@pytest.mark.parametrize("data", plain_keys().values(), ids=plain_keys())
def test_a_private_key_is_refused_and_barred_in_every_environment(office: Office, data: bytes) -> None:
    assert office.refused(data).code == "private-key"
    for environment in (DEV, STAGING):
        error = office.refused(csr_pem("alice"), environment=environment)
        assert codes(error) == ["compromised-key"]


@pytest.mark.parametrize("data", plain_keys().values(), ids=plain_keys())
def test_nothing_of_a_private_key_is_kept_but_its_public_fingerprint(office: Office, data: bytes) -> None:
    office.refused(data)
    kept = office.bytes_of_home()
    secret = key("alice").private_numbers().private_value.to_bytes(32)  # type: ignore[union-attr]  # P-256
    assert secret not in kept
    assert secret.hex().encode() not in kept.lower()
    assert not any(
        line in kept for line in data.splitlines() if len(line) > 40 and line not in csr_pem("alice")
    )
    assert Fingerprint.of_key(key("alice").public_key()).hex.encode() in kept


def test_an_encrypted_private_key_is_refused_and_bars_nothing(office: Office) -> None:
    sealed = key("alice").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    assert office.refused(sealed).code == "private-key"
    office.signed(csr_pem("alice"))


def test_a_private_key_is_barred_whatever_the_clock_says(office: Office) -> None:
    office.later(hours=-1)
    with pytest.raises(Unavailable):
        office.outcomes(private_pem(key("alice")))
    office.later(hours=1)
    assert codes(office.refused(csr_pem("alice"))) == ["compromised-key"]


# The clock


def test_with_the_clock_a_little_back_everything_goes_on(office: Office) -> None:
    office.signed(csr_pem("alice"))
    office.later(minutes=-4, seconds=-59)
    office.signed(csr_pem("bob"))
    with office.authority() as authority, authority.inventory.reading() as tx:
        log.verify(tx)


def test_with_the_clock_more_than_five_minutes_back_nothing_is_signed(office: Office) -> None:
    office.later(minutes=-5, seconds=-1)
    with pytest.raises(Unavailable, match="clock of this machine went back") as refused:
        office.outcomes(csr_pem("alice"))
    assert "ca audit --accept-clock" in refused.value.mend


def test_once_the_clock_is_accepted_signing_goes_on(office: Office) -> None:
    office.later(days=-2)
    with office.authority() as authority, authority.inventory.writing() as tx:
        log.append(tx, [authority.entry("clock.accept", office.now, "ok")])
    office.signed(csr_pem("alice"))
    with office.authority() as authority, authority.inventory.reading() as tx:
        log.verify(tx)


# The audit log


def test_each_signing_and_each_refusal_is_an_entry_and_the_log_is_whole(office: Office) -> None:
    office.outcomes(csr_pem("alice"), b"hello", private_pem(key("bob")), csr_pem("Carol"))
    with office.authority() as authority, authority.inventory.reading() as tx:
        log.verify(tx)
        told = [(each.entry.what, each.entry.result) for each in log.entries(tx)][-4:]
    assert sorted(told) == [
        ("certificate.issue", "ok"),
        ("certificate.refuse", "bad-csr"),
        ("certificate.refuse", "bad-name"),
        ("certificate.refuse", "private-key"),
    ]


def test_a_changed_row_of_the_log_is_detected_and_named(office: Office) -> None:
    office.signed(csr_pem("alice"))
    with sqlite3.connect(office.charter().folder / "inventory.db") as database:
        database.execute(
            "UPDATE audit SET entry = replace(entry, 'alice', 'mallory') WHERE entry LIKE '%alice%'"
        )
    database.close()
    with (
        office.authority() as authority,
        authority.inventory.reading() as tx,
        pytest.raises(log.Tampered, match=r"entry \d+ of the audit log was changed"),
    ):
        log.verify(tx)


# The issuing CA's end


def test_an_expired_issuing_ca_signs_nothing_and_claims_no_key(office: Office) -> None:
    office.later(days=1095)
    with pytest.raises(Unavailable, match="has expired"):
        office.outcomes(csr_pem("alice"))
    with office.authority() as authority:
        assert not authority.claims.holders([Fingerprint.of_key(key("alice").public_key()).hex])
