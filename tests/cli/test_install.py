from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Keystead
from tests.subscriber.throwaway_ca import ThrowawayCa


@pytest.fixture
def bundle(keystead: Keystead, ca: ThrowawayCa, tmp_path: Path) -> Path:
    """What the CA gave back for alice, whose key and CSR are in ``certs``."""
    keystead("csr", "alice")
    path = tmp_path / "alice.pem"
    path.write_bytes(ca.bundle(ca.sign((tmp_path / "certs/alice.csr").read_bytes())))
    return path


def test_it_shows_the_root_s_fingerprint_where_none_was_named(
    keystead: Keystead, bundle: Path, ca: ThrowawayCa
) -> None:
    done = keystead("install", bundle)
    assert done.code == 0
    assert ca.fingerprint in done.out
    assert "spiffe://dev.example.internal/client/alice" in done.out
    assert "Compare the root's fingerprint" in done.err
    assert "keystead upload" in done.out


def test_with_the_fingerprint_nothing_is_to_be_compared(
    keystead: Keystead, bundle: Path, ca: ThrowawayCa
) -> None:
    assert "Compare" not in keystead("install", bundle, "--fingerprint", ca.fingerprint.upper()).err


def test_a_second_time_it_says_that_nothing_changed(keystead: Keystead, bundle: Path) -> None:
    keystead("install", bundle)
    again = keystead("install", bundle)
    assert again.code == 0
    assert "nothing changed" in again.out


def test_a_server_is_told_to_serve(keystead: Keystead, ca: ThrowawayCa, tmp_path: Path) -> None:
    keystead("csr", "web", "--profile", "server", "--dir", "server")
    leaf = ca.sign((tmp_path / "server/web.csr").read_bytes(), profile="server")
    (tmp_path / "web.pem").write_bytes(ca.bundle(leaf))
    assert "keystead serve --dir server" in keystead("install", "web.pem", "--dir", "server").out


def test_a_renewal_says_that_the_pair_was_swapped(keystead: Keystead, alice: Path, ca: ThrowawayCa) -> None:
    keystead("csr", "alice", "--renew")
    (alice.parent / "alice.pem").write_bytes(ca.bundle(ca.sign((alice / "alice.csr").read_bytes())))
    done = keystead("install", "alice.pem")
    assert "the renewal's key now" in done.out
    assert not list(alice.glob("*.new.*"))


def test_a_refusal_has_three_parts(keystead: Keystead, bundle: Path) -> None:
    refused = keystead("install", "certs/alice.csr")
    assert refused.code == 1
    assert "error: certs/alice.csr is a CSR" in refused.err
    assert "why:" in refused.err
    assert "mend:" in refused.err
    assert not refused.out


def test_without_a_folder_it_says_how_to_begin(keystead: Keystead, bundle: Path) -> None:
    refused = keystead("install", bundle, "--dir", "elsewhere")
    assert refused.code == 1
    assert "keystead csr" in refused.err
    assert not (bundle.parent / "elsewhere").exists()


def test_without_a_certificate_to_install_it_is_wrong_usage(keystead: Keystead) -> None:
    assert keystead("install").code == 2
