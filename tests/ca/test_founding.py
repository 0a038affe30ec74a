from __future__ import annotations

import stat
from pathlib import Path

import pytest

from keystead.ca import founding
from keystead.ca.audit import log
from keystead.ca.authority.publish import current
from keystead.ca.claims import create_claims, open_claims
from keystead.ca.founding import check_sealing, found
from keystead.ca.home import Home, open_authority, open_both, read_charter
from keystead.custody.vault import Sealing, sealing_of
from keystead.errors import AlreadyThere, BadInput, NotThere, WrongUsage
from keystead.machine.secrets import Secrets
from keystead.pki.certificates import load_certificates, trust_domain_of_ca
from keystead.pki.chains import verify
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import KeyType
from keystead.pki.names import TrustDomain
from tests.ca.office import DEV, STAGING, Office, certificate, configuration, identity_secrets
from tests.pki.makers import NOW, csr_pem

MEMBERS = {"ca.toml", "root.crt", "issuing.crt", "ca.crt", "crl.pem", "inventory.db", ".gitignore"}
BESIDE = {"inventory.db.lock", "inventory.db-wal", "inventory.db-shm"}


def make(home: Home, environment: str = DEV, secrets: Secrets | None = None, **changes: object) -> None:
    found(home, configuration(environment, **changes), secrets, actor="test", clock=lambda: NOW)


def test_an_environment_holds_what_the_design_lists(office: Office) -> None:
    names = {path.name for path in office.charter().folder.iterdir()} - BESIDE
    assert names == MEMBERS | {"root.key", "issuing.key"}
    staging = {path.name for path in office.charter(STAGING).folder.iterdir()} - BESIDE
    assert staging == MEMBERS | {"root.key.age", "issuing.key.age"}


def test_what_is_handed_out_as_ca_crt_is_the_root_alone(office: Office) -> None:
    charter = office.charter()
    anchors = load_certificates((charter.folder / "ca.crt").read_bytes(), "ca.crt")
    assert anchors == (charter.root,)


def test_root_and_issuing_ca_agree_and_both_lists_clear_them(office: Office) -> None:
    charter = office.charter()
    assert trust_domain_of_ca(charter.root) == trust_domain_of_ca(charter.issuing) == charter.trust_domain
    answer = office.signed(csr_pem("alice"))
    verify(certificate(answer), [charter.issuing], [charter.root], now=NOW, crls=current(charter))


def test_folders_are_private_and_keys_more_so(office: Office) -> None:
    folder = office.charter().folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"
    for stem in ("root", "issuing"):
        assert stat.S_IMODE((folder / f"{stem}.key").stat().st_mode) == 0o600
    for name in ("inventory.db", "../keys.db"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_sealed_to_an_identity_nothing_lies_open_and_that_identity_opens_it(office: Office) -> None:
    charter = office.charter(STAGING)
    assert sealing_of(charter.folder, "root") is sealing_of(charter.folder, "issuing") is Sealing.IDENTITY
    assert b"PRIVATE KEY" not in b"".join(path.read_bytes() for path in charter.folder.iterdir())
    issuing, root = open_both(charter, office.secrets)
    assert issuing.key.public_key() == charter.issuing.public_key()
    assert root.key.public_key() == charter.root.public_key()


@pytest.mark.slow
def test_sealed_with_a_passphrase_that_passphrase_opens_it(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.touch(0o600)
    file.write_text("correct horse battery staple\n")
    secrets = Secrets({}, file)
    home = Home(tmp_path / "home")
    make(home, "prod", secrets)
    charter = read_charter(home, "prod")
    assert sealing_of(charter.folder, "root") is Sealing.PASSPHRASE
    issuing, _ = open_both(charter, secrets)
    assert issuing.key.public_key() == charter.issuing.public_key()


def typing(word: str) -> Secrets:
    return Secrets({}, ask=lambda question: word)


@pytest.mark.parametrize("environment", ["prod", "staging"])
def test_a_passphrase_of_fewer_than_twelve_characters_seals_no_ca_key(
    environment: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="it has 11 characters, and 12 are the least") as refused:
        make(Home(tmp_path / "home"), environment, typing("correct hor"))
    assert refused.value.code == "short-passphrase"
    assert "four words" in refused.value.mend
    assert "correct hor" not in str(refused.value)
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
def test_in_dev_a_short_passphrase_is_only_warned_of(tmp_path: Path) -> None:
    config = configuration(DEV)
    warned = found(Home(tmp_path / "home"), config, typing("short"), actor="test", clock=lambda: NOW)
    assert "the passphrase of the CA keys is short: it has 5 characters" in warned


@pytest.mark.parametrize("environment", ["prod", "staging", "development", "dev2"])
def test_unsealed_keys_exist_in_dev_only(environment: str, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="cannot lie unsealed"):
        check_sealing(environment, sealed=False)
    with pytest.raises(WrongUsage):
        make(Home(tmp_path / "home"), environment)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("key_type", [KeyType.ED25519, KeyType.P384, KeyType.ML_DSA_65])
def test_other_key_types_are_made_on_request(key_type: KeyType, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    make(home, key_type=key_type)
    assert read_charter(home, DEV).configuration.key_type is key_type


def test_the_founding_is_in_the_audit_log(office: Office) -> None:
    with office.authority() as authority, authority.inventory.reading() as tx:
        told = [(each.entry.what, each.entry.who) for each in log.entries(tx)]
        log.verify(tx)
    assert told[:2] == [("ca.init", "founder")] * 2
    assert told[2:] == [("crl.publish", "founder")] * 2


def test_the_cas_keys_are_claimed_for_their_environment(office: Office) -> None:
    keys = [
        Fingerprint.of_key(each.public_key()).hex
        for each in (office.charter().root, office.charter().issuing)
    ]
    with office.authority() as authority:
        assert set(authority.claims.holders(keys).values()) == {DEV}


STEPS = (
    "_make_founders",
    "_store_keys",
    "_write_files",
    "open_for_newcomer",
    "_claim",
    "_fill_inventory",
    "create_inventory",
    "append",
    "publish",
    "move_folder",
)


class Killed(BaseException):
    """What no `except Exception` stops."""


@pytest.mark.parametrize("step", STEPS)
def test_a_founding_that_ends_in_the_middle_leaves_no_environment_and_can_be_repeated(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise Killed

    home = Home(tmp_path / "home")
    monkeypatch.setattr(founding, step, killed)
    with pytest.raises(Killed):
        make(home)
    assert {path.name.partition("-")[0] for path in home.path.iterdir()} <= {
        ".gitignore",
        ".init.lock",
        "keys.db",
        "keys.db.lock",
    }
    assert not home.environments
    monkeypatch.undo()
    make(home)
    assert home.environments == (DEV,)


def test_what_a_killed_founding_left_is_swept_away(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    part = home.path / ".dev.part"
    part.mkdir(parents=True)
    (part / "root.key").write_text("half")
    make(home)
    assert not part.exists()


def test_an_environment_is_never_made_over_another(office: Office) -> None:
    before = {path: path.read_bytes() for path in office.charter().folder.iterdir()}
    with pytest.raises(AlreadyThere):
        make(office.home)
    assert {path: path.read_bytes() for path in office.charter().folder.iterdir()} == before


def test_two_environments_share_nothing_but_the_list_of_keys(office: Office) -> None:
    dev, staging = office.charter(), office.charter(STAGING)
    assert dev.trust_domain == TrustDomain("dev.example.internal")
    assert staging.trust_domain == TrustDomain("staging.example.internal")
    assert dev.root.public_key() != staging.root.public_key()
    with open_authority(office.home, staging, actor="test", clock=lambda: NOW) as authority:
        assert authority.inventory.path.parent == staging.folder


def test_another_identity_does_not_open_the_keys(office: Office, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not open"):
        open_both(office.charter(STAGING), identity_secrets(tmp_path / "other"))


def test_a_second_environment_is_not_made_beside_one_whose_claims_are_lost(office: Office) -> None:
    for path in office.home.path.glob("keys.db*"):
        path.unlink()
    before = office.bytes_of_home()
    with pytest.raises(NotThere, match=r"there is no .*keys\.db"):
        found(office.home, configuration("qa"), office.secrets, actor="founder")
    assert office.bytes_of_home() == before
    assert not office.home.claims.exists()


@pytest.mark.parametrize("left", ["an empty file", "no environment yet"])
def test_what_a_kill_before_the_first_environment_left_of_the_claims_is_completed(
    left: str, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    home.path.mkdir(0o700)
    if left == "an empty file":
        home.claims.touch(0o600)
    else:
        create_claims(home.claims).close()
    make(home)
    with open_claims(home.claims) as claims:
        assert len(list(claims.held_by(DEV))) == 2
