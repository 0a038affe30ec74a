"""A certificate that is younger than the restored backup can be revoked by its file, and by nothing less."""

from __future__ import annotations

from cryptography import x509

from keystead.ca.audit import log
from keystead.ca.authority.publish import is_behind
from keystead.ca.authority.unrecorded import is_unrecorded, revoke_unrecorded
from keystead.pki.revocation import load_crls
from tests.ca.office import STAGING, Office, certificate
from tests.ca.procedures.keeping import Keeper, lists
from tests.pki.makers import csr_pem, key


def restored_without(office: Office, name: str) -> tuple[Office, x509.Certificate]:
    """The office as it comes back from a backup that is older than the certificate of ``name``."""
    keeper = Keeper(office)
    keeper.take()
    late = certificate(office.signed(csr_pem(name)))
    return keeper.restored(), late


def test_it_is_revoked_by_its_file_and_stays_on_every_list(office: Office) -> None:
    office, late = restored_without(office, "late")
    with office.authority() as authority:
        assert is_unrecorded(authority, late)
        assert revoke_unrecorded(authority, late, "superseded").is_new
        assert is_behind(authority)
    for _ in range(2):
        office.publish()
        listed = {entry.serial_number for crl in load_crls(lists(office), "it") for entry in crl}
        assert late.serial_number in listed
    with office.authority() as authority:
        assert not is_behind(authority)
        assert not revoke_unrecorded(authority, late, "superseded").is_new
        with authority.inventory.reading() as tx:
            assert log.verify(tx).size > 0


def test_a_lost_key_is_barred_with_it(office: Office) -> None:
    office, late = restored_without(office, "late")
    with office.authority() as authority:
        assert revoke_unrecorded(authority, late, "keyCompromise").barred is not None
    assert "compromised" in str(office.refused(csr_pem("other", signer=key("late"))))


def test_what_is_recorded_or_of_another_ca_or_a_ca_itself_is_not_meant(office: Office) -> None:
    alice = certificate(office.signed(csr_pem("alice")))
    foreign = certificate(office.signed(csr_pem("bob"), environment=STAGING))
    charter = office.charter()
    with office.authority() as authority:
        for other in (alice, foreign, charter.issuing, charter.root):
            assert not is_unrecorded(authority, other)


def test_what_was_so_revoked_survives_the_next_backup(office: Office) -> None:
    office, late = restored_without(office, "late")
    with office.authority() as authority:
        revoke_unrecorded(authority, late, "superseded")
    keeper = Keeper(office)
    keeper.take()
    office = keeper.restored()
    listed = {entry.serial_number for crl in load_crls(lists(office), "it") for entry in crl}
    assert late.serial_number in listed
