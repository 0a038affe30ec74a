from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from keystead.ca.audit import log
from keystead.ca.authority.model import Signed
from keystead.ca.authority.publish import current, is_behind
from keystead.ca.authority.revoke import by_certificate, find, revoke
from keystead.errors import BadInput, KeysteadError, NotThere, Refused, Unavailable, WrongUsage
from keystead.pki.certificates import subject_key_id
from keystead.pki.keys import digest_for
from keystead.pki.names import HostNames
from keystead.pki.revocation import crl_number, issuer_key
from tests.ca.authority.test_signing import codes, renewal_of
from tests.ca.office import STAGING, Office, certificate
from tests.pki.makers import SERVER, Ca, csr_pem, key


def state(office: Office, serial: str) -> str | None:
    (record,) = office.known(serial)
    return record.revocation.reason if record.revocation else None


def log_is_whole(office: Office) -> bool:
    with office.authority() as authority, authority.inventory.reading() as tx:
        return log.verify(tx).size > 0


# Which


@pytest.mark.parametrize(
    "spell",
    [
        lambda answer: "alice",
        lambda answer: "client/alice",
        lambda answer: answer.certificate.serial,
        lambda answer: answer.certificate.serial.upper(),
        lambda answer: f"0x{answer.certificate.serial}",
    ],
    ids=["NAME", "profile/NAME", "serial", "upper case", "0x"],
)
def test_a_certificate_is_revoked_by_name_or_serial(office: Office, spell: Callable[[Signed], str]) -> None:
    answer = office.signed(csr_pem("alice"))
    revoked = office.revoke(spell(answer), "cessationOfOperation")
    assert [record.certificate.serial for record in revoked.ended] == [answer.certificate.serial]
    assert state(office, answer.certificate.serial) == "cessationOfOperation"


def test_a_certificate_is_revoked_by_its_file(office: Office) -> None:
    answer = office.signed(csr_pem("alice"))
    with office.authority() as authority:
        found = by_certificate(authority, certificate(answer))
        assert found.certificate == answer.certificate


def test_a_certificate_of_another_ca_is_unknown_even_with_the_same_serial(office: Office) -> None:
    answer = office.signed(csr_pem("alice"))
    mine = certificate(answer)
    forged = x509.CertificateBuilder(
        mine.issuer,
        mine.subject,
        key("mallory").public_key(),
        mine.serial_number,
        mine.not_valid_before_utc,
        mine.not_valid_after_utc,
    ).sign(key("mallory"), digest_for(key("mallory")))
    with office.authority() as authority:
        for foreign in (forged, Ca().leaf("alice")):
            with pytest.raises(NotThere, match="never issued"):
                by_certificate(authority, foreign)


def test_a_name_of_two_profiles_must_be_told_apart(office: Office) -> None:
    office.signed(csr_pem("alice"))
    servers = csr_pem("alice", signer=key("alice's server"), purposes=[SERVER])
    office.signed(servers, profile="server", host_names=HostNames.of(["a"]))
    with pytest.raises(WrongUsage) as refused:
        office.revoke("alice")
    assert "client/alice or server/alice" in refused.value.mend
    office.revoke("server/alice")
    assert state(office, office.known("client/alice")[0].certificate.serial) is None


@pytest.mark.parametrize("word", ["bob", "client/bob", "operator/alice", "abcdef"])
def test_what_was_never_issued_is_not_there(office: Office, word: str) -> None:
    office.signed(csr_pem("alice"))
    with pytest.raises(NotThere, match="has issued nothing"):
        office.revoke(word)


@pytest.mark.parametrize("word", ["../alice", "Alice", "client/../x", "a/b/c", "", "alice\n"])
def test_what_is_neither_name_nor_serial_is_refused(office: Office, word: str) -> None:
    with pytest.raises(KeysteadError):
        office.revoke(word)


@pytest.mark.parametrize("which", ["root", "issuing"])
def test_a_cas_own_certificate_is_not_revoked_here(office: Office, which: str) -> None:
    with pytest.raises(Refused, match="is not revoked by this command"):
        office.revoke(f"{getattr(office.charter(), which).serial_number:x}")


# What it does


def test_revoked_twice_stands_as_it_was_first_recorded(office: Office) -> None:
    serial = office.signed(csr_pem("alice")).certificate.serial
    office.revoke("alice", "superseded")
    again = office.revoke("alice", "affiliationChanged")
    assert not again.ended
    assert [record.certificate.serial for record in again.before] == [serial]
    assert state(office, serial) == "superseded"


def test_a_revocation_is_recorded_without_any_key_and_the_list_is_behind_until_it_is_made(
    office: Office,
) -> None:
    office.signed(csr_pem("alice"))
    office.revoke("alice")
    with office.authority() as authority:
        assert is_behind(authority)
    office.publish()
    with office.authority() as authority:
        assert not is_behind(authority)


def test_a_revocation_is_recorded_whatever_the_clock_says_and_the_log_stays_whole(office: Office) -> None:
    serial = office.signed(csr_pem("alice")).certificate.serial
    office.later(days=-1)
    office.revoke("alice")
    assert state(office, serial) == "superseded"
    assert log_is_whole(office)


# keyCompromise


def test_a_compromised_key_loses_all_of_its_certificates_and_is_barred(office: Office) -> None:
    first = office.signed(csr := csr_pem("alice"))
    office.later(minutes=1)
    second = office.signed(csr, may_reissue=True)
    revoked = office.revoke(first.certificate.serial, "keyCompromise")
    assert len(revoked.ended) == 2
    assert state(office, second.certificate.serial) == "keyCompromise"
    assert "compromised-key" in codes(office.refused(csr, may_reissue=True))
    assert "compromised-key" in codes(office.refused(csr, environment=STAGING))


def test_a_compromised_key_takes_along_what_it_was_for_under_another_identity(office: Office) -> None:
    office.signed(csr_pem("alice"))
    office.revoke("alice", "superseded")
    bobs = office.signed(csr_pem("bob", signer=key("alice")))
    office.revoke("alice", "keyCompromise")
    assert state(office, bobs.certificate.serial) == "keyCompromise"


def test_a_compromised_key_takes_along_all_that_was_renewed_from_it(office: Office) -> None:
    first = office.signed(csr_pem("alice"))
    second = office.signed(renewal_of(first, "alice", "alice-2"))
    third = office.signed(renewal_of(second, "alice-2", "alice-3"))
    office.revoke(first.certificate.serial, "keyCompromise")
    for answer in (first, second, third):
        assert state(office, answer.certificate.serial) == "keyCompromise"


def test_the_keys_that_followed_a_compromised_one_are_barred_too(office: Office) -> None:
    first = office.signed(csr_pem("alice"))
    office.signed(renewal_of(first, "alice", "alice-2"))
    revoked = office.revoke(first.certificate.serial, "keyCompromise")
    assert len(revoked.barred) == 2
    second = csr_pem("alice", signer=key("alice-2"))
    assert codes(office.refused(second, may_reissue=True)) == ["compromised-key"]


def test_a_compromised_key_takes_nothing_along_that_was_before_it(office: Office) -> None:
    first = office.signed(csr_pem("alice"))
    second = office.signed(renewal_of(first, "alice", "alice-2"))
    office.revoke(second.certificate.serial, "keyCompromise")
    assert state(office, first.certificate.serial) is None


def test_another_reason_takes_nothing_along_and_bars_nothing(office: Office) -> None:
    first = office.signed(csr_pem("alice"))
    second = office.signed(renewal_of(first, "alice", "alice-2"))
    revoked = office.revoke(first.certificate.serial, "superseded")
    assert not revoked.barred
    assert state(office, second.certificate.serial) is None


def test_key_compromise_may_follow_another_reason(office: Office) -> None:
    serial = office.signed(csr_pem("alice")).certificate.serial
    office.revoke("alice", "superseded")
    office.revoke("alice", "keyCompromise")
    assert state(office, serial) == "keyCompromise"
    assert "compromised-key" in codes(office.refused(csr_pem("alice")))


# Lists


def test_a_list_names_what_is_revoked_and_lies_beside_the_roots(office: Office) -> None:
    answer = office.signed(csr_pem("alice"))
    office.revoke("alice", "affiliationChanged")
    (published,) = office.publish()
    charter = office.charter()
    by_issuer = {issuer_key(crl): crl for crl in current(charter)}
    assert set(by_issuer) == {subject_key_id(charter.issuing), subject_key_id(charter.root)}
    listed = by_issuer[subject_key_id(charter.issuing)]
    assert listed == published.crl
    assert [entry.serial_number for entry in listed] == [certificate(answer).serial_number]
    assert listed.is_signature_valid(charter.issuing.public_key())  # type: ignore[arg-type]  # P-256


def test_the_roots_list_lasts_a_year_and_the_issuing_cas_ninety_days(office: Office) -> None:
    issuing, root = (item.crl for item in office.publish(root=True))
    assert (issuing.next_update_utc - office.now).days == 90  # type: ignore[operator]  # it has the date
    assert (root.next_update_utc - office.now).days == 365  # type: ignore[operator]


def numbers(office: Office) -> list[int]:
    return sorted(crl_number(crl) for crl in current(office.charter()))


@pytest.mark.parametrize("minutes", [0, 1, -1, -4.9])
def test_crl_numbers_rise_whatever_the_clock_does(office: Office, minutes: float) -> None:
    before = numbers(office)
    for _ in range(3):
        office.later(minutes=minutes / 3)
        office.publish(root=True)
        after = numbers(office)
        assert all(new > old for new, old in zip(after, before, strict=True))
        before = after


def test_a_crl_number_is_the_unix_time_where_that_is_higher(office: Office) -> None:
    office.later(days=1)
    (published,) = office.publish()
    assert crl_number(published.crl) == int(office.now.timestamp())


def test_with_the_clock_more_than_five_minutes_back_no_list_is_made(office: Office) -> None:
    before = office.charter().crl_path.read_bytes()
    office.later(minutes=-6)
    with pytest.raises(Unavailable, match="clock"):
        office.publish()
    assert office.charter().crl_path.read_bytes() == before


def test_a_list_that_cannot_be_written_was_never_made(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise Unavailable("the disk is full")

    before = numbers(office)
    monkeypatch.setattr("keystead.ca.authority.publish.write_atomic", full)
    with pytest.raises(Unavailable, match="disk is full"):
        office.publish()
    monkeypatch.undo()
    assert numbers(office) == before
    assert log_is_whole(office)


def test_a_list_that_was_published_and_not_recorded_is_followed_by_a_higher_number(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_and_die(path: Path, data: bytes, mode: int) -> None:
        path.write_bytes(data)
        raise Unavailable("killed before the commit")

    with monkeypatch.context() as patched:
        patched.setattr("keystead.ca.authority.publish.write_atomic", write_and_die)
        with pytest.raises(Unavailable, match="killed"):
            office.publish()
    (shown,) = [crl for crl in current(office.charter()) if crl.issuer == office.charter().issuing.subject]
    office.later(minutes=-2)
    (published,) = office.publish()
    assert crl_number(published.crl) == crl_number(shown) + 1


def test_a_damaged_crl_file_does_not_hide_a_revocation(office: Office) -> None:
    office.charter().crl_path.write_bytes(b"damaged")
    with pytest.raises(BadInput):
        office.publish()
    office.publish(root=True)
    assert len(numbers(office)) == 2


def test_after_all_of_it_the_log_is_whole(office: Office) -> None:
    office.signed(csr_pem("alice"))
    office.revoke("alice", "keyCompromise")
    office.refused(csr_pem("alice"))
    office.publish(root=True)
    with office.authority() as authority:
        revoke(authority, find(authority, "alice"), "superseded")
    assert log_is_whole(office)
