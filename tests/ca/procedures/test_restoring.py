"""Restored is what was backed up; what came since is merged in; and what is not right leaves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from keystead.ca.audit import log
from keystead.ca.audit.entry import BACKED_UP, RESTORED
from keystead.ca.authority.publish import current, is_behind
from keystead.ca.claims import COMPROMISED, open_claims
from keystead.ca.founding import found
from keystead.ca.procedures.backup import BEGUN
from keystead.errors import AlreadyThere, BadInput, Distrusted, KeysteadError, NotThere, Refused, Unavailable
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import KeyType
from keystead.pki.revocation import crl_number, crl_to_pem, load_crls
from tests.ca.office import DEV, STAGING, Office, configuration
from tests.ca.procedures.keeping import STRANGER, Keeper, lists
from tests.pki.makers import csr_pem, key


@contextmanager
def leaving_nothing(keeper: Keeper, kind: type[KeysteadError], match: str) -> Iterator[None]:
    with pytest.raises(kind, match=match):
        yield
    assert keeper.nothing_is_there()


def numbers(data: bytes) -> list[int]:
    return sorted(crl_number(crl) for crl in load_crls(data, "it"))


def entries(office: Office) -> list[log.Numbered]:
    with office.authority() as authority, authority.inventory.reading() as tx:
        return list(log.entries(tx))


def revoked(office: Office) -> set[str]:
    return {f"{entry.serial_number:x}" for crl in load_crls(lists(office), "it") for entry in crl}


def test_a_restored_ca_knows_what_it_knew_and_goes_on(keeper: Keeper) -> None:
    alice = keeper.office.signed(csr_pem("alice"))
    keeper.office.revoke("alice")
    keeper.office.publish()
    keeper.take()
    office = keeper.restored()
    (record,) = office.known("alice")
    assert record.certificate == alice.certificate
    assert record.revocation is not None
    assert office.signed(csr_pem("bob")).identity.name == "bob"
    assert office.revoke("bob").ended
    office.publish(root=True)
    with office.authority() as authority, authority.inventory.reading() as tx:
        assert log.verify(tx).size == len(entries(office))


@pytest.mark.parametrize("key_type", [KeyType.P384, KeyType.ED25519, KeyType.RSA3072, KeyType.ML_DSA_65])
def test_a_ca_of_another_key_type_comes_back_too(tmp_path: Path, key_type: KeyType) -> None:
    office = Office(tmp_path / "office")
    office.folder.mkdir()
    config = configuration(DEV, key_type=key_type)
    found(office.home, config, None, actor="founder", clock=lambda: office.now)
    office.signed(csr_pem("alice"))
    office.revoke("alice", "keyCompromise")
    keeper = Keeper(office)
    keeper.take()
    office.publish()
    restored = keeper.restore(published=lists(office))
    assert restored.keys == ("issuing", "root")
    assert restored.merged.recorded == ()
    assert restored.barred == 1


def test_the_keys_of_an_environment_come_back_as_they_lay(keeper: Keeper) -> None:
    keeper.take()
    keeper.restore()
    for name in ("root.key", "issuing.key", "ca.toml", "root.crt", "issuing.crt", "ca.crt"):
        there, back = (home.path / DEV / name for home in (keeper.office.home, keeper.elsewhere))
        assert back.read_bytes() == there.read_bytes()
        assert back.stat().st_mode == there.stat().st_mode


def test_sealed_keys_are_never_opened_by_a_backup_and_are_sealed_when_they_are_back(keeper: Keeper) -> None:
    keeper.take(environment=STAGING)
    restored = keeper.restore()
    assert restored.manifest.environment == STAGING
    folder = keeper.elsewhere.folder(STAGING)
    assert not list(folder.glob("*.key"))
    assert (folder / "issuing.key.age").read_bytes() == (
        keeper.office.home.folder(STAGING) / "issuing.key.age"
    ).read_bytes()


def test_export_and_import_are_audited_by_one_name(keeper: Keeper) -> None:
    taken = keeper.take()
    told = [numbered.entry for numbered in entries(keeper.office) if numbered.entry.what == BACKED_UP]
    assert [entry.result for entry in told] == [BEGUN, "ok"]
    assert "the tests" in told[0].detail
    (imported,) = [n.entry for n in entries(keeper.restored()) if n.entry.what == RESTORED]
    assert {entry.request for entry in (*told, imported)} == {taken.manifest.backup}
    assert "WITHOUT the last published list" in imported.detail


def test_fresh_lists_have_a_higher_number_even_where_the_clock_is_behind_them(keeper: Keeper) -> None:
    keeper.take()
    keeper.office.later(hours=2)
    keeper.office.publish(root=True)
    published = lists(keeper.office)
    keeper.office.later(hours=-2)
    restored = keeper.restore(published=published)
    fresh = restored.charter.crl_path.read_bytes()
    assert min(numbers(fresh)) > max(numbers(published))
    assert len(restored.lists) == 2


# Since the backup


def test_a_revocation_since_the_backup_is_not_undone(keeper: Keeper) -> None:
    bob = keeper.office.signed(csr_pem("bob")).certificate.serial
    keeper.take()
    keeper.office.later(minutes=1)
    keeper.office.revoke("bob", "cessationOfOperation")
    keeper.office.publish()
    office = keeper.restored(lists(keeper.office))
    (record,) = office.known("bob")
    assert record.revocation is not None
    assert record.revocation.reason == "cessationOfOperation"
    assert bob in revoked(office)


def test_a_revoked_certificate_that_the_backup_does_not_have_stays_on_every_list(keeper: Keeper) -> None:
    keeper.take()
    dave = keeper.office.signed(csr_pem("dave")).certificate.serial
    keeper.office.revoke("dave")
    keeper.office.publish()
    office = keeper.restored(lists(keeper.office))
    assert dave in revoked(office)
    office.later(days=1)
    office.publish()
    assert dave in revoked(office)
    with office.authority() as authority:
        assert not is_behind(authority)
    again = Keeper(office)
    again.take()
    assert dave in revoked(again.restored())


def test_a_key_that_was_compromised_since_the_backup_is_barred(keeper: Keeper) -> None:
    keeper.office.signed(csr_pem("bob"))
    keeper.take()
    keeper.office.revoke("bob", "keyCompromise")
    keeper.office.publish()
    office = keeper.restored(lists(keeper.office))
    assert "compromised" in str(office.refused(csr_pem("bobby", signer=key("bob"))))


def test_a_key_that_was_barred_in_another_environment_is_barred_again(keeper: Keeper) -> None:
    keeper.office.signed(csr_pem("mallory"), environment=STAGING)
    keeper.office.revoke("mallory", "keyCompromise", environment=STAGING)
    keeper.take()
    office = keeper.restored()
    with open_claims(office.home.claims) as claims:
        lost = Fingerprint.of_key(key("mallory").public_key()).hex
        assert claims.holders([lost]) == {lost: COMPROMISED}


def test_the_keys_of_a_restored_environment_are_its_own(keeper: Keeper) -> None:
    keeper.office.signed(csr_pem("alice"))
    keeper.take()
    keeper.restore()
    with open_claims(keeper.elsewhere.claims) as claims:
        held = Fingerprint.of_key(key("alice").public_key()).hex
        assert claims.holders([held]) == {held: DEV}


def test_without_a_list_what_the_archives_own_says_is_merged(keeper: Keeper) -> None:
    bob = keeper.office.signed(csr_pem("bob")).certificate.serial
    keeper.office.revoke("bob")
    keeper.office.publish()
    keeper.take()
    assert bob in revoked(keeper.restored())


# What is refused


def test_an_environment_that_is_there_is_not_overwritten(keeper: Keeper) -> None:
    keeper.take()
    before = keeper.office.bytes_of_home()
    with pytest.raises(AlreadyThere, match="'dev' is there already"):
        keeper.restore(home=keeper.office.home)
    assert keeper.office.bytes_of_home() == before


def test_an_archive_of_another_environment_than_was_asked_for(keeper: Keeper) -> None:
    keeper.take()
    with leaving_nothing(keeper, Refused, "not of the environment 'prod'"):
        keeper.restore(keeper.source(wanted="prod"))


def test_an_identity_that_is_none_of_the_recipients(keeper: Keeper) -> None:
    keeper.take()
    with leaving_nothing(keeper, BadInput, "a stranger's identity does not open"):
        keeper.restore(keeper.source(by=STRANGER))


def test_a_clock_that_stands_before_the_backup(keeper: Keeper) -> None:
    keeper.take()
    keeper.office.later(minutes=-6)
    with leaving_nothing(keeper, Unavailable, "clock"):
        keeper.restore()


def test_the_lists_of_another_environment_are_refused_with_both_names(keeper: Keeper) -> None:
    keeper.take()
    with leaving_nothing(keeper, Distrusted, "'Example staging issuing'.*'Example dev issuing'"):
        keeper.restore(published=lists(keeper.office, STAGING))


def test_what_is_no_list_is_not_to_be_fetched_from_the_ca_that_is_lost(keeper: Keeper) -> None:
    keeper.take()
    with pytest.raises(BadInput, match="holds no revocation list") as refused:
        keeper.restore(published=csr_pem("bob"))
    assert "from a server" in refused.value.mend


def test_the_lists_of_another_ca_of_the_same_name(keeper: Keeper, tmp_path: Path) -> None:
    keeper.take()
    impostor = Office(tmp_path / "impostor")
    impostor.folder.mkdir()
    found(impostor.home, configuration(DEV), None, actor="mallory", clock=lambda: keeper.office.now)
    with leaving_nothing(keeper, Distrusted, "two CAs of one name"):
        keeper.restore(published=lists(impostor))


def test_lists_that_are_older_than_the_backup(keeper: Keeper) -> None:
    old = lists(keeper.office)
    keeper.office.later(days=1)
    keeper.office.publish()
    keeper.take()
    with leaving_nothing(keeper, Distrusted, "older than the backup"):
        keeper.restore(published=old)


def test_the_roots_list_alone_does_not_say_who_is_revoked(keeper: Keeper) -> None:
    keeper.take()
    charter = keeper.office.charter()
    alone = crl_to_pem(*(crl for crl in current(charter) if crl.issuer == charter.root.subject))
    with leaving_nothing(keeper, Distrusted, "does not hold the list of"):
        keeper.restore(published=alone)


@pytest.mark.parametrize("stem", ["root", "issuing"])
def test_a_key_that_is_not_its_certificates(keeper: Keeper, stem: str) -> None:
    folder = keeper.office.home.folder(DEV)
    other = "issuing" if stem == "root" else "root"
    (folder / f"{stem}.key").write_bytes((folder / f"{other}.key").read_bytes())
    keeper.take()
    with leaving_nothing(keeper, BadInput, f"the {stem} key in .* does not belong to {stem}.crt"):
        keeper.restore()


def test_keys_that_another_environment_of_the_machine_holds_are_all_named(keeper: Keeper) -> None:
    for name in ("alice", "bob"):
        keeper.office.signed(csr_pem(name))
    keeper.take()
    other = Office(keeper.office.folder / "other")
    other.folder.mkdir()
    found(other.home, configuration("prod"), other.secrets, actor="other", clock=lambda: other.now)
    for name in ("alice", "bob"):
        other.signed(csr_pem(name), environment="prod")
    with pytest.raises(Refused, match="hold 2 of its keys") as refused:
        keeper.restore(home=other.home)
    told = {violation.what for violation in refused.value.violations}
    assert told == {f"the key of client/{name} belongs to 'prod'" for name in ("alice", "bob")}
    assert other.home.environments == ("prod",)


# What a backup does without, and what not


def test_an_off_line_root_is_left_out_and_its_list_stays(keeper: Keeper) -> None:
    (keeper.office.home.folder(DEV) / "root.key").unlink()
    taken = keeper.take()
    assert not taken.has_root_key
    restored = keeper.restore()
    assert restored.keys == ("issuing",)
    assert len(load_crls(restored.charter.crl_path.read_bytes(), "it")) == 2


def test_without_the_issuing_key_there_is_nothing_to_restore(keeper: Keeper) -> None:
    (keeper.office.home.folder(DEV) / "issuing.key").unlink()
    with pytest.raises(NotThere, match="issuing"):
        keeper.take()
    assert not (keeper.office.folder / "a.backup").exists()


def test_an_archive_is_never_written_over(keeper: Keeper) -> None:
    keeper.take()
    before = (keeper.office.folder / "a.backup").read_bytes()
    with pytest.raises(AlreadyThere):
        keeper.take()
    assert (keeper.office.folder / "a.backup").read_bytes() == before


def test_an_archive_says_nothing_to_whom_it_is_not_for(keeper: Keeper) -> None:
    keeper.office.signed(csr_pem("alice"))
    path = keeper.take().path
    data = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    for word in (b"PRIVATE KEY", b"alice", b"inventory", b"SQLite"):
        assert word not in data


# Damage

Damage = Callable[[bytes], bytes]


@pytest.mark.parametrize("tenth", range(10))
def test_an_archive_cut_at_a_tenth_is_refused(keeper: Keeper, tenth: int) -> None:
    path = keeper.take().path
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * tenth // 10])
    with leaving_nothing(keeper, BadInput, "a.backup is no archive of keystead, or is damaged"):
        keeper.restore()


def test_an_archive_with_one_bit_changed_anywhere_is_refused(keeper: Keeper) -> None:
    path = keeper.take().path
    data = path.read_bytes()
    for place in (*range(0, 400, 7), *range(400, len(data), len(data) // 60), len(data) - 1):
        changed = bytearray(data)
        changed[place] ^= 1
        path.write_bytes(changed)
        with leaving_nothing(keeper, BadInput, "damaged|does not open"):
            keeper.restore()


def test_what_is_no_archive_at_all(keeper: Keeper) -> None:
    for data in (b"", b"hello", b"-----BEGIN AGE ENCRYPTED FILE-----\n", bytes(100_000)):
        (keeper.office.folder / "a.backup").write_bytes(data)
        with leaving_nothing(keeper, BadInput, "no archive of keystead"):
            keeper.restore()


def test_time_goes_on_between_backup_and_restore(keeper: Keeper) -> None:
    keeper.take()
    keeper.office.later(days=400)
    restored = keeper.restore()
    assert all(
        crl.crl.next_update_utc is not None
        and crl.crl.next_update_utc > keeper.office.now + timedelta(days=80)
        for crl in restored.lists
    )
