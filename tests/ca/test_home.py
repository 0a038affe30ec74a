from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from keystead.ca.authority.publish import is_behind
from keystead.ca.authority.revoke import find
from keystead.ca.claims import create_claims, open_claims
from keystead.ca.home import Home, open_books, open_both, open_issuer, read_charter
from keystead.errors import BadInput, Distrusted, KeysteadError, NotThere, Unavailable, WrongUsage
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import private_pem
from tests.ca.office import DEV, STAGING, Office
from tests.pki.makers import csr_pem, key


def test_the_environments_of_a_home_are_listed_by_name(office: Office, tmp_path: Path) -> None:
    assert office.home.environments == (DEV, STAGING)
    assert Home(tmp_path / "nowhere").environments == ()


def test_an_environment_that_was_never_made_is_told_with_those_that_were(office: Office) -> None:
    with pytest.raises(NotThere, match="there is no environment 'prod'") as refused:
        read_charter(office.home, "prod")
    assert "dev, staging" in refused.value.why
    assert "ca init --env prod" in refused.value.mend


@pytest.mark.parametrize("name", ["../dev", "dev/", "Dev", "", "dev\n", ".dev.part", "keys.db"])
def test_no_path_is_built_from_what_cannot_name_an_environment(office: Office, name: str) -> None:
    with pytest.raises(WrongUsage):
        read_charter(office.home, name)


def test_a_copy_of_an_environment_under_another_name_is_not_used(office: Office) -> None:
    shutil.copytree(office.home.folder(DEV), office.home.folder("prod"))
    with pytest.raises(KeysteadError, match="prod") as refused:
        read_charter(office.home, "prod")
    assert "dev" in f"{refused.value}"


@pytest.mark.parametrize("stem", ["issuing", "root"])
def test_a_key_that_is_not_its_certificate_s_signs_nothing(office: Office, stem: str) -> None:
    (office.home.folder(DEV) / f"{stem}.key").write_bytes(private_pem(key("somebody else")))
    with pytest.raises(BadInput, match=rf"{stem}\.key does not belong to .*{stem}\.crt") as refused:
        open_both(office.charter(), office.secrets)
    assert refused.value.code == "key-mismatch"


def test_the_issuing_key_is_proved_where_it_is_opened_alone(office: Office) -> None:
    (office.home.folder(DEV) / "issuing.key").write_bytes(private_pem(key("somebody else")))
    with pytest.raises(BadInput, match="does not belong to"):
        open_issuer(office.charter(), office.secrets)


def test_a_trust_domain_that_was_changed_by_hand_is_not_used(office: Office) -> None:
    path = office.home.folder(DEV) / "ca.toml"
    path.write_text(path.read_text().replace("dev.example.internal", "dev.example.org"))
    with pytest.raises((BadInput, Distrusted)) as refused:
        read_charter(office.home, DEV)
    assert "dev.example.internal" in f"{refused.value}"


@pytest.mark.parametrize("name", ["ca.toml", "root.crt", "issuing.crt"])
def test_a_damaged_file_is_named(office: Office, name: str) -> None:
    (office.home.folder(DEV) / name).write_bytes(b"\xff damaged")
    with pytest.raises(BadInput, match=name):
        read_charter(office.home, DEV)


@pytest.mark.parametrize("name", ["root.crt", "issuing.crt"])
def test_a_missing_file_is_named(office: Office, name: str) -> None:
    (office.home.folder(DEV) / name).unlink()
    with pytest.raises(KeysteadError, match=name):
        read_charter(office.home, DEV)


def test_an_environment_whose_inventory_is_gone_is_told_so(office: Office) -> None:
    for path in office.home.folder(DEV).glob("inventory.db*"):
        path.unlink()
    with pytest.raises(KeysteadError, match=r"inventory\.db"), office.authority():
        pass


def lose_claims(office: Office) -> None:
    for path in office.home.path.glob("keys.db*"):
        path.unlink()


def test_claims_that_are_lost_are_not_made_anew_but_told_with_two_ways_back(office: Office) -> None:
    lose_claims(office)
    with pytest.raises(NotThere, match=r"keys\.db") as refused, office.authority():
        pass
    assert "ca restore BACKUP --only keys.db --env dev --home " in refused.value.mend
    assert "ca audit --rebuild-keys --env dev --home " in refused.value.mend
    assert not office.home.claims.exists()


def test_claims_that_are_empty_or_of_another_home_are_not_relied_on(office: Office) -> None:
    lose_claims(office)
    office.home.claims.touch(0o600)
    with pytest.raises(NotThere, match="there are no claims in"), office.authority():
        pass
    create_claims(office.home.claims).close()
    with pytest.raises(NotThere, match="does not hold the keys of dev"), office.authority():
        pass


def test_an_environment_whose_own_key_was_barred_still_opens(office: Office) -> None:
    with open_claims(office.home.claims) as claims:
        claims.mark_compromised([Fingerprint.of_key(office.charter().issuing.public_key()).hex])
    with office.authority() as authority:
        assert authority.environment == DEV


def test_what_was_issued_can_be_looked_up_without_claims(office: Office) -> None:
    office.signed(csr_pem("alice"))
    lose_claims(office)
    with open_books(office.charter()) as books:
        assert [found.certificate.name for found in find(books, "alice")] == ["alice"]
        assert not is_behind(books)
    assert not office.home.claims.exists()


@pytest.mark.parametrize("name", [".", "ca.toml", ".."])
def test_what_other_accounts_can_change_is_not_trusted(office: Office, name: str) -> None:
    path = office.charter().folder / name
    path.chmod(path.stat().st_mode | 0o002)
    with pytest.raises(Unavailable, match="can change it"):
        office.charter()
