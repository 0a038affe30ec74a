from __future__ import annotations

import shlex
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import AlreadyThere, BadInput, Distrusted, NotThere, Refused, Unavailable, WrongUsage
from keystead.machine import files as machine_files
from keystead.pki import csr
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import KeyType, generate, load_private_pem, private_pem
from keystead.pki.names import LOCAL_TRIO, HostNames, TrustDomain
from keystead.subscriber import sending as module
from keystead.subscriber.hostnames import names_for
from keystead.subscriber.layout import Folder
from keystead.subscriber.renewal import renew
from keystead.subscriber.request import request, sans_of
from keystead.subscriber.roles import Role
from tests.subscriber.conftest import Subscribe
from tests.subscriber.throwaway_ca import ThrowawayCa

NOBODY = HostNames()


def parsed(path: Path) -> csr.CertificateRequest:
    return csr.parse(path.read_bytes(), str(path))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_private_and_its_csr_public(folder: Folder) -> None:
    made = request(folder, "alice", Role.CLIENT, NOBODY)
    assert mode(made.key_path) == 0o600
    assert mode(made.files.csr) == 0o644


def test_a_folder_is_made_private_and_kept_out_of_git(folder: Folder) -> None:
    request(folder, "alice", Role.CLIENT, NOBODY)
    assert mode(folder.path) == 0o700
    assert (folder.path / ".gitignore").read_text() == "*\n"


def test_the_csr_is_the_key_s_and_asks_for_the_purpose(folder: Folder) -> None:
    made = request(folder, "alice", Role.CLIENT, NOBODY)
    asked = parsed(made.files.csr)
    assert asked.proves_possession
    assert asked.common_name == "alice"
    assert asked.purposes == {ExtendedKeyUsageOID.CLIENT_AUTH}
    assert asked.key_fingerprint == made.fingerprint
    assert asked.left_out == ()
    key = load_private_pem(made.key_path.read_bytes(), "key")
    assert Fingerprint.of_key(key.public_key()) == made.fingerprint


def test_a_server_s_csr_carries_its_hosts(folder: Folder) -> None:
    made = request(folder, "web", Role.SERVER, HostNames.of(["web.example.org", "10.0.0.7"]))
    asked = parsed(made.files.csr)
    assert asked.host_names.texts == ("web.example.org", "10.0.0.7")
    assert asked.wants_server


@pytest.mark.parametrize("key_type", [KeyType.P256, KeyType.P384, KeyType.ED25519])
def test_the_key_is_of_the_type_that_was_asked_for(folder: Folder, key_type: KeyType) -> None:
    made = request(folder, "alice", Role.CLIENT, NOBODY, key_type)
    assert made.key_type.lower().replace("-", "") == key_type
    assert parsed(made.files.csr).proves_possession


def test_a_key_is_never_overwritten(folder: Folder) -> None:
    made = request(folder, "alice", Role.CLIENT, NOBODY)
    before = made.key_path.read_bytes(), made.files.csr.read_bytes()
    with pytest.raises(AlreadyThere, match=r"alice\.key") as refusal:
        request(folder, "alice", Role.CLIENT, NOBODY)
    assert str(made.files.csr) in refusal.value.mend
    assert (made.key_path.read_bytes(), made.files.csr.read_bytes()) == before


def test_whoever_has_a_certificate_is_told_to_renew(folder: Folder, subscribe: Subscribe) -> None:
    subscribe("alice")
    with pytest.raises(AlreadyThere) as refusal:
        request(folder, "alice", Role.CLIENT, NOBODY)
    assert "--renew" in refusal.value.mend


def test_a_csr_without_its_key_is_not_overwritten(folder: Folder) -> None:
    made = request(folder, "alice", Role.CLIENT, NOBODY)
    made.key_path.unlink()
    with pytest.raises(AlreadyThere, match="without its key"):
        request(folder, "alice", Role.CLIENT, NOBODY)


def test_a_key_without_a_csr_gets_one(folder: Folder) -> None:
    first = request(folder, "alice", Role.CLIENT, NOBODY)
    first.files.csr.unlink()
    again = request(folder, "alice", Role.CLIENT, NOBODY)
    assert not again.key_is_new
    assert again.csr_is_new
    assert again.fingerprint == first.fingerprint


def test_a_key_that_others_can_read_gets_no_csr(folder: Folder) -> None:
    made = request(folder, "alice", Role.CLIENT, NOBODY)
    made.files.csr.unlink()
    made.key_path.chmod(0o644)
    with pytest.raises(Unavailable, match="other accounts"):
        request(folder, "alice", Role.CLIENT, NOBODY)


def test_a_weak_key_that_lies_there_gets_no_csr(folder: Folder) -> None:
    folder.path.mkdir(mode=0o700)
    weak = folder.files("alice").key
    machine_files.write_new(weak, private_pem(rsa.generate_private_key(65537, 1024)))
    with pytest.raises(Refused, match="too weak"):
        request(folder, "alice", Role.CLIENT, NOBODY)
    assert not folder.files("alice").csr.exists()


def test_a_csr_that_cannot_be_written_leaves_no_key(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(module, "write_atomic", no_room)
    with pytest.raises(Unavailable):
        request(folder, "alice", Role.CLIENT, NOBODY)
    assert not list(folder.path.glob("alice*"))


@pytest.mark.parametrize("name", ["ca", "../alice", "Alice", "", "alice.new", "a/b", "alice\n"])
def test_a_name_that_is_none_makes_nothing(folder: Folder, name: str) -> None:
    with pytest.raises(BadInput):
        request(folder, name, Role.CLIENT, NOBODY)
    assert not folder.path.exists()


def test_a_renewal_makes_a_key_beside_the_old_pair(
    folder: Folder, subscribe: Subscribe, now: datetime
) -> None:
    files = subscribe("web", Role.SERVER)
    before = files.key.read_bytes(), files.certificate.read_bytes()
    made = renew(folder, "web", None, None, now)
    assert (files.key.read_bytes(), files.certificate.read_bytes()) == before
    assert made.key_path == files.new_key
    assert mode(files.new_key) == 0o600


def test_a_renewal_asks_for_what_the_certificate_has(
    folder: Folder, subscribe: Subscribe, now: datetime
) -> None:
    subscribe("web", Role.SERVER)
    asked = parsed(renew(folder, "web", None, None, now).files.csr)
    assert set(asked.host_names.texts) == set(LOCAL_TRIO)
    assert asked.purposes == {ExtendedKeyUsageOID.SERVER_AUTH}


def test_a_renewal_is_proved_by_the_old_key(
    folder: Folder, subscribe: Subscribe, ca: ThrowawayCa, now: datetime
) -> None:
    files = subscribe("alice")
    old_key = load_private_pem(files.key.read_bytes(), "key").public_key()
    asked = parsed(renew(folder, "alice", None, None, now).files.csr)
    assert asked.proof is not None
    assert asked.proof.serial == f"{ca.issued[-1].serial_number:x}"
    assert asked.proof.is_by(old_key, ca.trust_domain, asked.public_key)
    assert not asked.proof.is_by(old_key, TrustDomain("prod.example.internal"), asked.public_key)


def test_the_ca_grants_a_renewal_without_a_flag(
    folder: Folder, subscribe: Subscribe, ca: ThrowawayCa, now: datetime
) -> None:
    subscribe("web", Role.SERVER)
    made = renew(folder, "web", None, None, now)
    assert made.renews is not None
    assert made.renews.uri == "spiffe://dev.example.internal/server/web"
    ca.sign(made.files.csr.read_bytes())


def test_a_renewal_is_taken_up_again_not_begun_twice(
    folder: Folder, subscribe: Subscribe, now: datetime
) -> None:
    subscribe("alice")
    first = renew(folder, "alice", None, None, now)
    before = first.key_path.read_bytes(), first.files.csr.read_bytes()
    again = renew(folder, "alice", None, None, now)
    assert (again.key_path.read_bytes(), again.files.csr.read_bytes()) == before
    assert (again.key_is_new, again.csr_is_new) == (False, False)
    assert again.fingerprint == first.fingerprint


def test_a_renewal_that_lost_its_csr_gets_it_again(
    folder: Folder, subscribe: Subscribe, now: datetime
) -> None:
    subscribe("alice")
    first = renew(folder, "alice", None, None, now)
    first.files.csr.unlink()
    again = renew(folder, "alice", None, None, now)
    assert (again.key_is_new, again.csr_is_new) == (False, True)
    assert parsed(again.files.csr).key_fingerprint == first.fingerprint


def test_a_renewal_keeps_the_type_of_the_key(folder: Folder, ca: ThrowawayCa, now: datetime) -> None:
    made = request(folder, "alice", Role.CLIENT, NOBODY, KeyType.ED25519)
    made.files.certificate.write_bytes(ca.chain_pem(ca.sign(made.files.csr.read_bytes())))
    assert renew(folder, "alice", None, None, now).key_type == "Ed25519"


def test_a_begun_renewal_does_not_change_the_type_of_its_key(
    folder: Folder, subscribe: Subscribe, now: datetime
) -> None:
    subscribe("alice")
    renew(folder, "alice", None, None, now)
    with pytest.raises(AlreadyThere, match=r"alice\.new\.key"):
        renew(folder, "alice", None, KeyType.P384, now)


def test_a_renewal_for_more_hosts_says_so(folder: Folder, subscribe: Subscribe, now: datetime) -> None:
    subscribe("web", Role.SERVER)
    made = renew(folder, "web", HostNames.of(["localhost", "web.example.org"]), None, now)
    assert made.beyond == ("web.example.org",)


def test_an_expired_certificate_cannot_be_renewed(
    folder: Folder, subscribe: Subscribe, now: datetime
) -> None:
    files = subscribe("alice")
    with pytest.raises(Distrusted, match="ended on") as refusal:
        renew(folder, "alice", None, None, now + timedelta(days=31))
    assert refusal.value.code == "expired"
    assert "keystead csr alice" in refusal.value.mend
    assert not files.new_key.exists()


def test_an_expired_server_asks_anew_as_a_server_with_its_hosts(
    folder: Folder, subscribe: Subscribe, now: datetime
) -> None:
    subscribe("web", Role.SERVER)
    with pytest.raises(Distrusted) as refusal:
        renew(folder, "web", None, None, now + timedelta(days=200))
    assert "keystead csr web --profile server --san localhost" in refusal.value.mend


def test_without_a_certificate_there_is_nothing_to_renew(folder: Folder, now: datetime) -> None:
    request(folder, "alice", Role.CLIENT, NOBODY)
    with pytest.raises(NotThere, match=r"alice\.crt"):
        renew(folder, "alice", None, None, now)


def test_without_a_folder_there_is_nothing_to_renew(folder: Folder, now: datetime) -> None:
    with pytest.raises(NotThere, match="no folder"):
        renew(folder, "alice", None, None, now)
    assert not folder.path.exists()


def test_any_of_the_trio_brings_the_other_two() -> None:
    assert sans_of(["localhost", "web.example.org"]) == HostNames.of(["web.example.org", *LOCAL_TRIO])
    assert sans_of(["web.example.org"]) == HostNames.of(["web.example.org"])
    assert sans_of([]) is None


def test_a_full_name_counts_only_where_it_extends_the_short_one() -> None:
    assert "web.example.org" in names_for("web", "web.example.org").host_names.texts
    assert "localhost.localdomain" not in names_for("web", "localhost.localdomain").host_names.texts


def test_a_machine_s_name_that_dns_does_not_allow_is_left_out() -> None:
    named = names_for("my_machine", "my_machine")
    assert named.unusable == ("my_machine",)
    assert set(named.host_names.texts) == set(LOCAL_TRIO)


@given(st.text(max_size=80), st.text(max_size=80))
def test_whatever_a_machine_is_called_the_trio_is_covered(short: str, full: str) -> None:
    assert set(names_for(short, full).host_names.texts) >= set(LOCAL_TRIO)


def test_an_unknown_key_type_is_wrong_usage() -> None:
    from keystead.pki.keys import parse_key_type

    with pytest.raises(WrongUsage):
        parse_key_type("dsa")


def test_a_wrong_pair_is_not_renewed(folder: Folder, subscribe: Subscribe) -> None:
    files = subscribe("alice")
    files.key.unlink()
    machine_files.write_new(files.key, private_pem(generate(KeyType.P256)))
    with pytest.raises(Distrusted, match="does not belong"):
        renew(folder, "alice", None, None, datetime.now(UTC))


def test_a_folder_with_a_space_is_quoted_in_what_is_to_be_typed(tmp_path: Path, now: datetime) -> None:
    spaced = Folder(tmp_path / "my certs")
    made = request(spaced, "alice", Role.CLIENT, NOBODY)
    made.key_path.unlink()
    with pytest.raises(AlreadyThere) as refused:
        request(spaced, "alice", Role.CLIENT, NOBODY)
    subprocess.run(["sh", "-c", refused.value.mend.partition("   (")[0]], check=True, timeout=10)
    assert not made.files.csr.exists()
    with pytest.raises(NotThere) as missing:
        renew(spaced, "alice", None, None, now)
    assert shlex.split(missing.value.mend)[-2:] == ["--dir", str(spaced.path)]
