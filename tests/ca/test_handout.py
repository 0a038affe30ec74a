from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from keystead.ca.authority.model import Repeated, Signed
from keystead.ca.handout import ForkedClerk, LocalClerk, Parcel, check_place
from keystead.errors import AlreadyThere, NotThere
from keystead.machine.forks import forked
from keystead.pki.certificates import load_certificates, to_pem
from keystead.pki.names import HostNames, TrustDomain
from keystead.pki.revocation import load_crls
from tests.ca.office import Office, certificate
from tests.pki.makers import SERVER, Ca, csr_pem, key


def hand_out(office: Office, places: Mapping[str, Path], *answers: Signed | Repeated) -> None:
    LocalClerk(office.charter(), places).hand_out(list(map(Parcel.of, answers)))


def moved(answer: Signed, source: str) -> Signed:
    return Signed(source, answer.identity, answer.certificate, answer.left_out, answer.capped)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_four_files_are_handed_out_and_one_of_them_is_enough(office: Office, out: Path) -> None:
    answer = office.signed(csr_pem("alice"))
    hand_out(office, {"0.csr": out}, answer)
    charter = office.charter()
    chain = (certificate(answer), charter.issuing)
    assert {path.name for path in out.iterdir()} == {"alice.crt", "ca.crt", "crl.pem", "alice.pem"}
    assert load_certificates((out / "alice.crt").read_bytes(), "") == chain
    assert load_certificates((out / "ca.crt").read_bytes(), "") == (charter.root,)
    bundle = (out / "alice.pem").read_bytes()
    assert load_certificates(bundle, "") == (*chain, charter.root)
    assert load_crls(bundle, "") == load_crls(charter.crl_path.read_bytes(), "")
    assert (out / "crl.pem").read_bytes() == charter.crl_path.read_bytes()
    assert b"PRIVATE" not in bundle
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o644}


def test_while_a_renewal_waits_the_certificate_in_use_is_left_alone(office: Office, out: Path) -> None:
    (out / "alice.crt").write_text("in use")
    (out / "alice.new.key").write_text("waits")
    hand_out(office, {"0.csr": out}, office.signed(csr_pem("alice")))
    assert (out / "alice.crt").read_text() == "in use"
    assert (out / "alice.pem").exists()


@pytest.mark.parametrize("source", ["other.csr", "ca.csr", "crl.csr", "alice.csr", "alice.server.csr"])
def test_two_profiles_of_one_name_get_files_of_their_own(office: Office, out: Path, source: str) -> None:
    client = office.signed(csr_pem("alice"))
    servers = csr_pem("alice", signer=key("alice's server"), purposes=[SERVER])
    server = moved(office.signed(servers, profile="server", host_names=HostNames.of(["a"])), source)
    hand_out(office, {"0.csr": out, source: out}, client, server)
    for stem, answer in (("alice", client), ("alice.server", server)):
        for name in (f"{stem}.crt", f"{stem}.pem"):
            assert load_certificates((out / name).read_bytes(), "")[0] == certificate(answer)
    assert load_certificates((out / "ca.crt").read_bytes(), "") == (office.charter().root,)
    assert len(load_crls((out / "crl.pem").read_bytes(), "crl.pem")) == 2


def test_the_ca_crt_of_another_ca_is_not_overwritten(office: Office, out: Path) -> None:
    foreign = to_pem(Ca(TrustDomain("prod.other.internal")).root.certificate)
    (out / "ca.crt").write_bytes(foreign)
    with pytest.raises(AlreadyThere, match="belongs to another CA") as refused:
        check_place(office.charter(), out)
    assert "--out" in refused.value.mend
    assert (out / "ca.crt").read_bytes() == foreign


@pytest.mark.parametrize("first", [True, False])
def test_a_bundle_of_anchors_with_another_ca_in_it_is_not_overwritten(
    office: Office, out: Path, first: bool
) -> None:
    pair = [office.charter().root, Ca(TrustDomain("prod.other.internal")).root.certificate]
    (out / "ca.crt").write_bytes(to_pem(*(pair if first else pair[::-1])))
    with pytest.raises(AlreadyThere):
        check_place(office.charter(), out)


def test_ones_own_ca_crt_or_none_is_no_hindrance(office: Office, out: Path) -> None:
    check_place(office.charter(), out)
    (out / "ca.crt").write_bytes(to_pem(office.charter().root))
    check_place(office.charter(), out)
    check_place(office.charter(), out / "not there yet")


def test_a_pipe_that_is_called_ca_crt_is_not_waited_for(office: Office, out: Path) -> None:
    os.mkfifo(out / "ca.crt")
    check_place(office.charter(), out)


@pytest.mark.parametrize("suffix", [".pem", ".crt"])
def test_a_file_that_only_its_owner_can_read_is_not_overwritten(
    office: Office, out: Path, suffix: str
) -> None:
    secret = out / f"alice{suffix}"
    secret.touch(mode=0o600)
    secret.write_text("a private key, perhaps")
    answer = office.signed(csr_pem("alice"))
    hand_out(office, {"0.csr": out}, answer)
    assert secret.read_text() == "a private key, perhaps"
    assert {path.name for path in out.glob(f"*.{suffix[1:]}")} >= {f"alice.client{suffix}"}


@pytest.mark.slow
def test_a_clerk_in_another_process_writes_the_same_files(office: Office, out: Path) -> None:
    answer = office.signed(csr_pem("alice"))
    with forked(LocalClerk(office.charter(), {"0.csr": out})) as (writer,):
        clerk = ForkedClerk(writer)
        clerk.deliver([Parcel.of(answer)])
        clerk.settle()
    assert {path.name for path in out.iterdir()} == {"alice.crt", "ca.crt", "crl.pem", "alice.pem"}


@pytest.mark.slow
def test_what_goes_wrong_in_another_process_is_told_before_the_end(office: Office, tmp_path: Path) -> None:
    answer = office.signed(csr_pem("alice"))
    with forked(LocalClerk(office.charter(), {"0.csr": tmp_path / "missing"})) as (writer,):
        clerk = ForkedClerk(writer)
        clerk.deliver([Parcel.of(answer)])
        with pytest.raises(NotThere, match="missing"):
            clerk.settle()
