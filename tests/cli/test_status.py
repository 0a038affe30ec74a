from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Keystead
from tests.subscriber.throwaway_ca import ThrowawayCa


@pytest.fixture
def home(ca: ThrowawayCa, tmp_path: Path) -> Path:
    """A CA home of one environment, as far as `status` reads one."""
    from keystead.pki.certificates import to_pem

    place = tmp_path / "home" / "dev"
    place.mkdir(parents=True)
    (place / "root.crt").write_bytes(ca.ca_pem)
    (place / "issuing.crt").write_bytes(to_pem(ca.issuing.certificate))
    (place / "crl.pem").write_bytes(ca.crl_pem())
    return tmp_path / "home"


def test_where_nothing_is_due_it_exits_0(keystead: Keystead, alice: Path) -> None:
    done = keystead("status")
    assert done.code == 0
    assert "certs/alice.crt" in done.out
    assert "nothing ends within 14 days" in done.out


def test_what_ends_within_makes_it_exit_1(keystead: Keystead, alice: Path) -> None:
    done = keystead("status", "--within", "31d")
    assert done.code == 1
    assert "keystead csr alice --renew --dir certs" in done.out


def test_a_revocation_list_expires_too(keystead: Keystead, alice: Path) -> None:
    done = keystead("status", "--within", "91d", "--json")
    assert done.code == 1
    due = {entry["kind"] for entry in json.loads(done.out)["expires"] if entry["due"]}
    assert due == {"certificate", "revocation list"}


def test_the_ca_s_command_names_the_environment_of_the_folder(keystead: Keystead, alice: Path) -> None:
    assert "keystead ca crl --env dev --out crl.pem" in keystead("status", "--within", "91d").out


def test_soonest_comes_first(keystead: Keystead, alice: Path, home: Path) -> None:
    found = json.loads(keystead("status", "--home", home, "--json").out)["expires"]
    assert [entry["ends"] for entry in found] == sorted(entry["ends"] for entry in found)
    assert found[0]["whose"] == "alice"


def test_a_home_that_was_named_is_named_by_the_next_command(keystead: Keystead, home: Path) -> None:
    said = keystead("status", "--within", "91d", "--home", home).out
    assert f"keystead ca crl --env dev --home {home}" in said


def test_the_ca_s_home_is_looked_at(keystead: Keystead, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYSTEAD_HOME", str(home))
    found = json.loads(keystead("status", "--json").out)["expires"]
    assert {entry["environment"] for entry in found} == {"dev"}
    assert len(found) == 4


def test_a_broken_file_makes_it_exit_1(keystead: Keystead, alice: Path) -> None:
    (alice / "crl.pem").write_text("nonsense")
    done = keystead("status")
    assert done.code == 1
    assert "certs/crl.pem" in done.err


def test_where_nothing_is_it_is_an_error(keystead: Keystead) -> None:
    refused = keystead("status")
    assert refused.code == 1
    assert "--dir" in refused.err


def test_a_folder_that_was_named_must_be_there(keystead: Keystead, home: Path) -> None:
    assert keystead("status", "--home", home, "--dir", "nowhere").code == 1


def test_a_span_that_is_none_is_wrong_usage(keystead: Keystead, alice: Path) -> None:
    assert keystead("status", "--within", "soon").code == 2


def test_a_home_that_may_not_be_read_is_said(
    keystead: Keystead, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root reads everything, so the system's refusal is played."""
    iterdir = Path.iterdir

    def denied(self: Path) -> Iterator[Path]:
        if self == home:
            raise PermissionError(errno.EACCES, "Permission denied")
        return iterdir(self)

    monkeypatch.setattr(Path, "iterdir", denied)
    refused = keystead("status", "--home", home)
    assert refused.code == 1
    assert f"cannot read {home}" in refused.err
