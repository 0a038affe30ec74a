from __future__ import annotations

import re
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keystead.pki import csr
from tests.cli.conftest import Keystead
from tests.subscriber.throwaway_ca import ThrowawayCa


def test_it_ends_with_what_to_type_on_both_machines(keystead: Keystead) -> None:
    done = keystead("csr", "alice")
    assert done.code == 0
    assert "scp certs/alice.csr CA-MACHINE:" in done.out
    assert "keystead ca sign alice.csr --profile client --expect " in done.out
    assert "keystead install alice.pem --dir certs" in done.out
    assert "Never copy alice.key" in done.err


def test_the_fingerprint_printed_is_the_csr_s(keystead: Keystead, tmp_path: Path) -> None:
    done = keystead("csr", "alice")
    request = csr.parse((tmp_path / "certs/alice.csr").read_bytes(), "csr")
    assert done.out.count(str(request.key_fingerprint)) == 2


def test_a_server_covers_this_machine_and_says_how_to_name_others(keystead: Keystead) -> None:
    done = keystead("csr", "web", "--profile", "server")
    assert "localhost" in done.out
    assert "127.0.0.1, ::1" in done.out
    assert "--san HOST" in done.err
    assert "--profile server" in done.out


def test_with_san_a_server_covers_those_alone(keystead: Keystead) -> None:
    done = keystead("csr", "web", "--profile", "server", "--san", "web.example.org", "--dir", "a b")
    assert "covers       web.example.org\n" in done.out
    assert "--dir 'a b'" in done.out


def test_any_of_the_trio_brings_the_other_two(keystead: Keystead) -> None:
    done = keystead("csr", "web", "--profile", "server", "--san", "127.0.0.1")
    assert "localhost, 127.0.0.1, ::1" in done.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("alice", "--san", "localhost"),
        ("alice", "--renew", "--profile", "client"),
        ("alice", "--profile", "operator"),
        ("alice", "--key-type", "dsa"),
        (),
    ],
)
def test_words_that_do_not_fit_together_make_nothing(
    keystead: Keystead, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert keystead("csr", *arguments).code == 2
    assert not (tmp_path / "certs").exists()


@pytest.mark.parametrize("san", ["web_1.example.org", "*", "", "a b", "300.1.1.1"])
def test_a_host_that_is_none_makes_nothing(keystead: Keystead, tmp_path: Path, san: str) -> None:
    refused = keystead("csr", "web", "--profile", "server", "--san", san)
    assert refused.code == 1
    assert "neither a DNS name nor an IP address" in refused.err
    assert not (tmp_path / "certs").exists()


def test_a_second_time_it_refuses(keystead: Keystead) -> None:
    keystead("csr", "alice")
    refused = keystead("csr", "alice")
    assert refused.code == 1
    assert "certs/alice.key is there" in refused.err
    assert "mend:" in refused.err


def test_where_a_good_certificate_is_in_the_way_a_renewal_is_offered(keystead: Keystead, alice: Path) -> None:
    refused = keystead("csr", "alice")
    assert "  mend: renew its certificate: keystead csr alice --renew --dir certs;" in refused.err


def test_where_the_certificate_has_ended_what_is_offered_works(
    keystead: Keystead, alice: Path, ca: ThrowawayCa
) -> None:
    ended = ca.sign((alice / "alice.csr").read_bytes(), now=datetime.now(UTC) - timedelta(days=40))
    (alice / "alice.crt").write_bytes(ca.chain_pem(ended))
    refused = keystead("csr", "alice")
    assert "--renew" not in refused.err
    (offered,) = re.findall(r"with a new key: (mkdir .*?);", refused.err)
    aside, _, again = offered.rpartition(" && keystead ")
    subprocess.run(["bash", "-c", aside], check=True)
    assert keystead(*again.split()).code == 0


def test_a_renewal_names_environment_and_no_profile(keystead: Keystead, alice: Path) -> None:
    done = keystead("csr", "alice", "--renew")
    assert "keystead ca sign alice.csr --env dev --expect " in done.out
    assert (alice / "alice.new.key").exists()
    assert keystead("csr", "alice", "--renew").out.count("was there already") == 2


def test_a_key_in_a_checkout_is_kept_out_of_git(keystead: Keystead, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    keystead("csr", "alice", "--dir", folder)
    assert (folder / ".gitignore").read_text() == "*.key\n"
    assert stat.S_IMODE((folder / "alice.key").stat().st_mode) == 0o600


@pytest.mark.slow
def test_the_key_is_private_under_any_umask(tmp_path: Path) -> None:
    script = "import os; os.umask(0); from keystead.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", script, "csr", "alice"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((tmp_path / "certs/alice.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "certs").stat().st_mode) == 0o700
