from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import NameOID

from keystead.pki.certificates import host_names, identity_of, load_certificate, to_pem
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import KeyType, generate, private_pem
from keystead.pki.names import TrustDomain
from keystead.pki.revocation import crl_number, load_crls
from tests.cli.conftest import Keystead
from tests.pki.makers import SERVER, Ca, csr_pem, hand_made, key


@pytest.fixture
def inbox(tmp_path: Path, home: Path) -> Path:
    """A folder with alice's CSR."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "alice.csr").write_bytes(csr_pem("alice"))
    return folder


def leaf(path: Path) -> str:
    return str(identity_of(load_certificate(path.read_bytes(), str(path))))


# Handing out


def test_the_files_lie_beside_the_csr_and_the_next_commands_are_told(keystead: Keystead, inbox: Path) -> None:
    said = keystead("ca", "sign", inbox / "alice.csr")
    assert said.code == 0
    assert said.out.startswith("environment dev · root ")
    assert leaf(inbox / "alice.crt") == leaf(inbox / "alice.pem") == "client/alice"
    assert {path.name for path in inbox.iterdir()} == {
        "alice.csr",
        "alice.crt",
        "alice.pem",
        "ca.crt",
        "crl.pem",
    }
    assert "keystead install alice.pem" in said.out
    assert str(Fingerprint.of_key(key("alice").public_key())) in said.out


def test_out_is_made_private_and_nothing_lies_beside_the_csr(
    keystead: Keystead, inbox: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "out"
    assert keystead("ca", "sign", inbox, "--out", out).code == 0
    assert leaf(out / "alice.crt") == "client/alice"
    assert out.stat().st_mode & 0o777 == 0o700
    assert (out / ".gitignore").read_text() == "*\n"
    assert {path.name for path in inbox.iterdir()} == {"alice.csr"}


def test_the_ca_crt_of_another_ca_is_not_overwritten_and_nothing_is_signed(
    keystead: Keystead, inbox: Path
) -> None:
    foreign = to_pem(Ca(TrustDomain("prod.other.internal")).root.certificate)
    (inbox / "ca.crt").write_bytes(foreign)
    said = keystead("ca", "sign", inbox)
    assert said.code == 1
    assert "belongs to another CA" in said.err
    assert (inbox / "ca.crt").read_bytes() == foreign
    assert "alice" not in keystead("ca", "list").out


def test_what_is_lost_is_given_back_by_the_same_command(keystead: Keystead, inbox: Path) -> None:
    keystead("ca", "sign", inbox)
    before = (inbox / "alice.pem").read_bytes()
    for name in ("alice.pem", "alice.crt", "ca.crt", "crl.pem"):
        (inbox / name).unlink()
    said = keystead("ca", "sign", inbox)
    assert said.code == 0
    assert "here it is again" in said.out
    assert (inbox / "alice.pem").read_bytes() == before


# What is asked


def test_in_a_script_a_server_csr_needs_the_profile(keystead: Keystead, inbox: Path) -> None:
    path = inbox / "web.csr"
    path.write_bytes(csr_pem("web", hosts=["db.example.org"], purposes=[SERVER]))
    said = keystead("ca", "sign", path)
    assert said.code == 1
    assert "--profile server" in said.err
    assert keystead("ca", "sign", path, "--profile", "server").code == 0


def test_hosts_named_by_the_operator_count_alone_and_bring_the_local_trio(
    keystead: Keystead, inbox: Path
) -> None:
    path = inbox / "web.csr"
    path.write_bytes(csr_pem("web", hosts=["old"], purposes=[SERVER]))
    said = keystead("ca", "sign", path, "--profile", "server", "--san", "new", "--san", "localhost")
    assert said.code == 0
    covered = host_names(load_certificate((inbox / "web.crt").read_bytes(), ""))
    assert set(covered.texts) == {"new", "localhost", "127.0.0.1", "::1"}
    assert "SAN old" in said.err


def test_a_lifetime_of_two_seconds_is_granted(keystead: Keystead, inbox: Path) -> None:
    assert keystead("ca", "sign", inbox, "--lifetime", "2s").code == 0
    found = load_certificate((inbox / "alice.crt").read_bytes(), "")
    assert (found.not_valid_after_utc - found.not_valid_before_utc).total_seconds() == 302


@pytest.mark.parametrize("option", [("--name", "x"), ("--san", "x"), ("--expect", "0" * 32)])
def test_what_is_for_one_csr_is_wrong_usage_for_several(
    keystead: Keystead, inbox: Path, option: tuple[str, str]
) -> None:
    (inbox / "bob.csr").write_bytes(csr_pem("bob"))
    assert keystead("ca", "sign", inbox, *option).code == 2
    assert keystead("ca", "sign", inbox / "alice.csr", inbox / "bob.csr", *option).code == 2
    assert not (inbox / "alice.crt").exists()


@pytest.mark.parametrize(
    "option",
    [("--lifetime", "soon"), ("--profile", "Client"), ("--profile", "a/b"), ("--expect", "abcd")],
)
def test_wishes_that_make_no_sense_are_wrong_usage(
    keystead: Keystead, inbox: Path, option: tuple[str, str]
) -> None:
    assert keystead("ca", "sign", inbox / "alice.csr", *option).code == 2
    assert not (inbox / "alice.crt").exists()


def test_the_expected_fingerprint_is_demanded(keystead: Keystead, inbox: Path) -> None:
    said = keystead("ca", "sign", inbox, "--expect", "0" * 32)
    assert said.code == 1
    assert "not the one expected" in said.err
    assert (
        keystead("ca", "sign", inbox, "--expect", Fingerprint.of_key(key("alice").public_key()).hex).code == 0
    )


# Several


def test_good_ones_are_signed_and_bad_ones_listed_with_exit_code_1(keystead: Keystead, inbox: Path) -> None:
    (inbox / "bob.csr").write_bytes(csr_pem("bob"))
    (inbox / "bad.csr").write_text("not a csr")
    said = keystead("ca", "sign", inbox)
    assert said.code == 1
    assert (inbox / "alice.crt").exists()
    assert (inbox / "bob.crt").exists()
    assert "bad.csr is not a CSR" in said.err
    assert "signed" in said.out


@pytest.mark.slow
def test_hundreds_are_signed_by_workers_with_a_summary(keystead: Keystead, inbox: Path) -> None:
    for number in range(210):
        data = csr_pem(f"user-{number}", signer=generate(KeyType.P256))
        (inbox / f"user-{number}.csr").write_bytes(data)
    (inbox / "bad.csr").write_text("not a csr")
    said = keystead("ca", "sign", inbox)
    assert said.code == 1
    assert len(list(inbox.glob("*.crt"))) == 211 + 1  # alice's too, and ca.crt
    assert "211" in said.out
    again = keystead("ca", "sign", inbox)
    assert "given back again" in again.out


# Private keys


def test_a_private_key_is_refused_barred_and_left_nowhere(
    keystead: Keystead, home: Path, inbox: Path
) -> None:
    (inbox / "alice.csr").write_bytes(csr_pem("alice") + private_pem(key("alice")))
    said = keystead("ca", "sign", inbox)
    assert said.code == 1
    assert "must now be treated as compromised" in said.err
    (inbox / "alice.csr").write_bytes(csr_pem("alice"))
    assert "barred for ever" in keystead("ca", "sign", inbox).err
    body = private_pem(key("alice")).splitlines()[1]
    kept = b"".join(path.read_bytes() for top in (home, inbox) for path in top.rglob("*") if path.is_file())
    assert body not in kept
    assert body.decode() not in said.out + said.err
    assert keystead("ca", "audit").code == 0


def test_an_encrypted_private_key_is_refused_and_bars_nothing(keystead: Keystead, inbox: Path) -> None:
    sealed = key("alice").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    (inbox / "key.csr").write_bytes(sealed)
    assert keystead("ca", "sign", inbox / "key.csr").code == 1
    assert keystead("ca", "sign", inbox / "alice.csr").code == 0


@pytest.mark.slow
def test_no_file_beside_the_csr_is_opened_but_ca_crt(inbox: Path, home: Path) -> None:
    for name in ("alice.key", "alice.crt", "crl.pem", "other.txt", "bob.key"):
        (inbox / name).write_text("nobody's business")
    watched = """
import sys
def seen(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and "/inbox/" in arguments[0]:
        if not str(arguments[0]).endswith(".tmp"):
            print("OPENED", arguments[0].rpartition("/")[2], file=sys.stderr)
sys.addaudithook(seen)
from keystead.cli.main import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", watched, "ca", "sign", str(inbox), "--home", str(home)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=True,
    )
    opened = {line.split()[1] for line in done.stderr.splitlines() if line.startswith("OPENED")}
    assert opened <= {"alice.csr", "ca.crt"}
    assert "alice.csr" in opened


# What comes from outside


HOSTILE = "\x1b[2J\x1b[31mroot\u202egnp.exe\x07\r\n✓ forged"
TERMINAL = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
"""What `ca sign` looks at to know whether a person sits there."""


def is_harmless(shown: str) -> bool:
    """Whether nothing of HOSTILE reached the terminal as what it is."""
    forged = any(line.startswith("✓ forged") for line in shown.splitlines())
    return not forged and set("\x1b\u202e\x07\r").isdisjoint(shown)


@pytest.mark.parametrize("terminal", [False, True], ids=["script", "terminal"])
@pytest.mark.parametrize("oid", [NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME], ids=["CN", "O"])
def test_a_hostile_subject_is_printed_escaped(
    keystead: Keystead,
    inbox: Path,
    monkeypatch: pytest.MonkeyPatch,
    oid: x509.ObjectIdentifier,
    terminal: bool,
) -> None:
    if terminal:
        monkeypatch.setattr("keystead.cli.ca.sign.sys", TERMINAL)
    subject = [(oid, HOSTILE)]
    if oid != NameOID.COMMON_NAME:
        subject.append((NameOID.COMMON_NAME, "alice"))
    (inbox / "alice.csr").write_bytes(hand_made(subject=subject))
    said = keystead("ca", "sign", inbox / "alice.csr", stdin="y\n")
    told = keystead("ca", "audit", "--last", "5")
    assert is_harmless(said.out + said.err + told.out)
    assert "\\x1b[2J" in said.out + said.err


def test_a_hostile_file_name_is_printed_escaped(keystead: Keystead, inbox: Path) -> None:
    bad = inbox / "a\x1b[31m\n✓ forged\u202e.csr"
    bad.write_text("not a csr")
    said = keystead("ca", "sign", inbox)
    assert said.code == 1
    assert is_harmless(said.out + said.err)


def test_a_file_name_that_is_no_text_is_no_obstacle(keystead: Keystead, inbox: Path) -> None:
    path = os.fsencode(inbox) + b"/b\xff.csr"
    with open(path, "wb") as file:  # noqa: PTH123  a name that pathlib has no text for
        file.write(b"not a csr")
    said = keystead("ca", "sign", inbox)
    assert said.code == 1
    assert "is not a CSR" in said.err
    assert keystead("ca", "audit").code == 0


# At a terminal


@pytest.fixture
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keystead.cli.ca.sign.sys", TERMINAL)


@pytest.mark.usefixtures("at_a_terminal")
def test_one_csr_is_shown_and_confirmed(keystead: Keystead, inbox: Path) -> None:
    said = keystead("ca", "sign", inbox, stdin="y\n")
    assert said.code == 0
    shown, _, _ = said.out.partition("Sign it?")
    for part in ("client/alice", "spiffe://dev.keystead.internal/client/alice", "clientAuth", "30d", "P-256"):
        assert part in shown
    assert str(Fingerprint.of_key(key("alice").public_key())) in shown


@pytest.mark.usefixtures("at_a_terminal")
def test_a_no_signs_nothing(keystead: Keystead, inbox: Path) -> None:
    said = keystead("ca", "sign", inbox, stdin="n\n")
    assert said.code == 1
    assert {path.name for path in inbox.iterdir()} == {"alice.csr"}
    assert "alice" not in keystead("ca", "list").out


@pytest.mark.usefixtures("at_a_terminal")
def test_without_a_profile_a_server_is_shown_as_a_server(keystead: Keystead, inbox: Path) -> None:
    path = inbox / "web.csr"
    path.write_bytes(csr_pem("web", hosts=["db.example.org", "8.8.8.8"], purposes=[SERVER]))
    said = keystead("ca", "sign", path, stdin="y\n")
    assert said.code == 0
    assert "server/web" in said.out
    assert "db.example.org, 8.8.8.8" in said.out


@pytest.mark.usefixtures("at_a_terminal")
def test_what_is_refused_is_not_asked_about(keystead: Keystead, inbox: Path) -> None:
    said = keystead("ca", "sign", inbox, "--expect", "0" * 32, stdin="y\n")
    assert said.code == 1
    assert "Sign it?" not in said.out


@pytest.mark.usefixtures("at_a_terminal")
def test_a_private_key_is_barred_at_a_terminal_too(keystead: Keystead, inbox: Path) -> None:
    (inbox / "alice.csr").write_bytes(private_pem(key("alice")))
    assert "treated as compromised" in keystead("ca", "sign", inbox).err
    (inbox / "alice.csr").write_bytes(csr_pem("alice"))
    assert "barred for ever" in keystead("ca", "sign", inbox, stdin="y\n").err
    assert "certificate.refuse" in keystead("ca", "audit", "--last", "2").out


@pytest.mark.usefixtures("at_a_terminal")
def test_a_replaced_certificate_is_shown_before(keystead: Keystead, inbox: Path) -> None:
    keystead("ca", "sign", inbox, stdin="y\n")
    (inbox / "alice.csr").write_bytes(csr_pem("alice", signer=key("alice-2")))
    said = keystead("ca", "sign", inbox, "--replace", stdin="y\n")
    assert said.code == 0
    assert "which is revoked at once" in said.out.partition("Sign it?")[0]


def test_a_replacement_that_was_cut_short_before_its_list_is_published_by_the_same_again(
    keystead: Keystead, inbox: Path, home: Path
) -> None:
    keystead("ca", "sign", inbox)
    old = load_certificate((inbox / "alice.crt").read_bytes(), "alice.crt")
    published = home / "dev" / "crl.pem"
    without = published.read_bytes()
    (inbox / "alice.csr").write_bytes(csr_pem("alice", signer=key("alice-2")))
    assert keystead("ca", "sign", inbox, "--replace").code == 0
    published.write_bytes(without)
    (inbox / "alice.crt").unlink()
    assert keystead("ca", "sign", inbox, "--replace").code == 0
    for path in (published, inbox / "crl.pem"):
        assert {entry.serial_number for crl in load_crls(path.read_bytes(), str(path)) for entry in crl} == {
            old.serial_number
        }


def test_a_replacement_that_was_cut_short_before_its_list_was_recorded_is_published_anew(
    keystead: Keystead, inbox: Path, home: Path
) -> None:
    keystead("ca", "sign", inbox)
    (inbox / "alice.csr").write_bytes(csr_pem("alice", signer=key("alice-2")))
    assert keystead("ca", "sign", inbox, "--replace").code == 0
    with closing(sqlite3.connect(home / "dev" / "inventory.db")) as database, database:
        database.execute("DELETE FROM crls WHERE number = (SELECT max(number) FROM crls)")
    assert keystead("ca", "sign", inbox, "--replace").code == 0
    number = max(map(crl_number, load_crls((inbox / "crl.pem").read_bytes(), "crl.pem")))
    with closing(sqlite3.connect(home / "dev" / "inventory.db")) as database:
        assert database.execute("SELECT max(number) FROM crls").fetchone() == (number,)
