from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keystead.pki.certificates import load_certificate
from keystead.pki.revocation import crl_number, load_crls
from keystead.pki.serials import serial_hex
from tests.cli.conftest import Keystead
from tests.pki.makers import Ca, csr_pem


@pytest.fixture
def alice(keystead: Keystead, home: Path, tmp_path: Path) -> str:
    """alice is signed; the serial number of her certificate."""
    (tmp_path / "alice.csr").write_bytes(csr_pem("alice"))
    assert keystead("ca", "sign", "alice.csr").code == 0
    return serial_hex(load_certificate((tmp_path / "alice.crt").read_bytes(), "").serial_number)


def state(keystead: Keystead) -> list[tuple[str, str]]:
    found = json.loads(keystead("ca", "list", "--json").out)
    return [(record["name"], record["state"]) for record in found if record["kind"] == "leaf"]


def test_what_was_issued_is_listed(keystead: Keystead, alice: str) -> None:
    said = keystead("ca", "list")
    assert "client/alice" in said.out
    assert alice in said.out
    assert state(keystead) == [("alice", "good")]


@pytest.mark.parametrize("words", [("--name", "nobody"), ("--profile", "server"), ("--state", "revoked")])
def test_where_nothing_fits_no_empty_table_is_shown(
    keystead: Keystead, alice: str, words: tuple[str, str]
) -> None:
    said = keystead("ca", "list", *words)
    assert said.code == 0
    assert "none that was issued here fits" in said.out
    assert "serial" not in said.out
    assert json.loads(keystead("ca", "list", *words, "--json").out) == []


@pytest.mark.parametrize("by", ["alice", "client/alice", "serial"])
def test_one_certificate_is_shown_in_full(keystead: Keystead, alice: str, by: str) -> None:
    said = keystead("ca", "show", alice if by == "serial" else by)
    assert said.code == 0
    for part in ("client/alice", alice, "good, ", "fingerprint"):
        assert part in said.out
    (record,) = json.loads(keystead("ca", "show", alice, "--json").out)
    assert record["serial"] == alice
    assert record["not_after"].endswith("Z")
    assert datetime.fromisoformat(record["not_after"]) > datetime.now(UTC)


def test_a_certificate_is_shown_as_pem(keystead: Keystead, alice: str) -> None:
    pem = keystead("ca", "show", alice, "--pem").out
    assert serial_hex(load_certificate(pem.encode(), "").serial_number) == alice


@pytest.mark.parametrize("command", [("show",), ("revoke", "--reason", "superseded")], ids=lambda c: c[0])
@pytest.mark.parametrize("word", ["bob", "server/alice", "\x1b[31m", "abcdef"])
def test_what_was_never_issued_is_told(
    keystead: Keystead, alice: str, command: tuple[str, ...], word: str
) -> None:
    said = keystead("ca", command[0], word, *command[1:])
    assert said.code == 1
    assert "\x1b" not in said.err


@pytest.mark.parametrize("by", ["alice", "serial", "file"])
def test_a_revocation_is_recorded_published_and_tells_where_to_take_the_list(
    keystead: Keystead, home: Path, alice: str, tmp_path: Path, by: str
) -> None:
    word = {"alice": "alice", "serial": alice, "file": str(tmp_path / "alice.crt")}[by]
    said = keystead("ca", "revoke", word, "--reason", "key-compromise" if by == "file" else "superseded")
    assert said.code == 0
    assert said.out.startswith("environment dev · root ")
    assert state(keystead) == [("alice", "revoked")]
    lists = load_crls((home / "dev" / "crl.pem").read_bytes(), "")
    assert [serial_hex(entry.serial_number) for crl in lists for entry in crl] == [alice]
    assert "scp" in said.out


def test_a_foreign_certificate_is_not_revoked(keystead: Keystead, alice: str, tmp_path: Path) -> None:
    from keystead.pki.certificates import to_pem

    (tmp_path / "foreign.crt").write_bytes(to_pem(Ca().leaf("alice")))
    said = keystead("ca", "revoke", "foreign.crt", "--reason", "superseded")
    assert said.code == 1
    assert "never issued" in said.err
    assert state(keystead) == [("alice", "good")]


@pytest.mark.parametrize("words", [("--reason", "lost"), ()])
def test_a_reason_that_there_is_not_is_wrong_usage_and_the_reasons_are_listed(
    keystead: Keystead, alice: str, words: tuple[str, ...]
) -> None:
    said = keystead("ca", "revoke", "alice", *words)
    assert said.code == 2
    assert "keyCompromise" in said.err
    assert "cessationOfOperation" in said.err
    assert state(keystead) == [("alice", "good")]


@pytest.mark.parametrize("word", ["alice", "client/alice"])
def test_a_name_is_never_taken_for_a_file_that_is_called_like_it(
    keystead: Keystead, alice: str, tmp_path: Path, word: str
) -> None:
    (tmp_path / "client").mkdir()
    (tmp_path / word).write_text("no certificate")
    assert keystead("ca", "revoke", word, "--reason", "superseded").code == 0
    assert state(keystead) == [("alice", "revoked")]


def test_a_file_of_any_name_is_taken_where_its_place_is_spelled(
    keystead: Keystead, alice: str, tmp_path: Path
) -> None:
    (tmp_path / "alice.crt").rename(tmp_path / "old")
    assert keystead("ca", "revoke", "./old", "--reason", "superseded").code == 0
    assert state(keystead) == [("alice", "revoked")]


def test_a_revocation_is_recorded_even_where_the_key_is_not_at_hand(
    keystead: Keystead, home: Path, alice: str
) -> None:
    key = home / "dev" / "issuing.key"
    key.rename(home / "away")
    said = keystead("ca", "revoke", "alice", "--reason", "superseded")
    assert said.code == 1
    assert "the revocation is recorded" in said.err
    assert "keystead ca crl" in said.out
    assert state(keystead) == [("alice", "revoked")]
    assert "crl.pem does not show" in keystead("ca", "audit").err
    (home / "away").rename(key)
    assert keystead("ca", "crl", "--issuing-only").code == 0
    assert "crl.pem does not show" not in keystead("ca", "audit").err


def test_fresh_lists_of_both_cas_are_made_and_copied(keystead: Keystead, home: Path, tmp_path: Path) -> None:
    before = {crl.issuer: crl_number(crl) for crl in load_crls((home / "dev" / "crl.pem").read_bytes(), "")}
    said = keystead("ca", "crl", "--out", "copy.pem")
    assert said.code == 0
    after = load_crls((tmp_path / "copy.pem").read_bytes(), "")
    assert len(after) == 2
    assert all(crl_number(crl) > before[crl.issuer] for crl in after)
    assert (tmp_path / "copy.pem").read_bytes() == (home / "dev" / "crl.pem").read_bytes()


def test_the_audit_log_is_verified_and_a_changed_row_is_named(
    keystead: Keystead, home: Path, alice: str
) -> None:
    import sqlite3

    said = keystead("ca", "audit", "--last", "1")
    assert said.code == 0
    assert "the audit log is whole" in said.out
    assert "certificate.issue" in said.out
    with sqlite3.connect(home / "dev" / "inventory.db") as database:
        database.execute("UPDATE audit SET entry = replace(entry, 'alice', 'bob')")
    database.close()
    said = keystead("ca", "audit")
    assert said.code == 1
    assert "was changed" in said.err


def test_a_clock_that_went_back_stops_signing_until_it_is_accepted(
    keystead: Keystead, alice: str, tmp_path: Path
) -> None:
    import time_machine

    (tmp_path / "bob.csr").write_bytes(csr_pem("bob"))
    with time_machine.travel("2027-06-01T12:00:00Z"):
        assert keystead("ca", "crl").code == 0  # a mistaken jump
    refused = keystead("ca", "sign", "bob.csr")
    assert refused.code == 1
    assert "clock of this machine went back" in refused.err
    assert "keystead ca audit --accept-clock" in refused.err
    assert keystead("ca", "audit", "--accept-clock").code == 0
    assert keystead("ca", "sign", "bob.csr").code == 0
    assert keystead("ca", "audit").code == 0
