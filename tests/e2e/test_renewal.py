"""Regenerating certificates off line: a new key, a CSR with a proof, the pair swapped when it is proved."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.e2e.conftest import Machine

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("dev_ca")]


def recorded(machine: Machine, name: str) -> list[dict[str, object]]:
    """What the CA has of a NAME, oldest first."""
    found: list[dict[str, object]] = json.loads(machine.ok("ca", "show", name, "--json").out)
    return found


def test_a_renewal_needs_no_flag_and_swaps_key_and_certificate_together(
    machine: Machine, certified: Callable[..., None]
) -> None:
    certified("server", profile="server", sign=("--san", "files.example.org"))
    old_key = (machine.folder / "server/server.key").read_bytes()
    old_certificate = (machine.folder / "server/server.crt").read_bytes()

    machine.ok("csr", "server", "--renew", "--dir", "server")
    assert (machine.folder / "server/server.key").read_bytes() == old_key
    machine.ok("ca", "sign", "server/server.csr", "--out", "outbox")
    assert (machine.folder / "server/server.crt").read_bytes() == old_certificate
    machine.ok("install", "outbox/server.pem", "--dir", "server")

    assert (machine.folder / "server/server.key").read_bytes() != old_key
    assert not (machine.folder / "server/server.new.key").exists()
    old, new = recorded(machine, "server")
    assert new["renews"] == old["serial"]
    assert new["profile"] == "server"
    assert new["hosts"] == old["hosts"] == ["files.example.org"]
    assert (old["state"], new["state"]) == ("good", "good")


def test_signed_beside_its_csr_a_renewal_leaves_the_pair_in_use_alone(
    machine: Machine, certified: Callable[..., None]
) -> None:
    certified("alice")
    in_use = (machine.folder / "alice/alice.crt").read_bytes()
    machine.ok("csr", "alice", "--renew", "--dir", "alice")
    machine.ok("ca", "sign", "alice/alice.csr")
    assert (machine.folder / "alice/alice.crt").read_bytes() == in_use
    machine.ok("install", "alice/alice.pem", "--dir", "alice")
    assert (machine.folder / "alice/alice.crt").read_bytes() != in_use


def test_a_superseded_certificate_renews_nothing(machine: Machine, certified: Callable[..., None]) -> None:
    certified("alice")
    machine.ok("csr", "alice", "--renew", "--dir", "alice")
    stolen = (machine.folder / "alice/alice.csr").read_bytes()
    thief = machine.folder / "thief"
    thief.mkdir(mode=0o700)
    for name in ("alice.key", "alice.crt", "ca.crt", "crl.pem"):
        (thief / name).write_bytes((machine.folder / "alice" / name).read_bytes())
        (thief / name).chmod(0o600)
    machine.ok("ca", "sign", "alice/alice.csr", "--out", "outbox")
    machine.ok("install", "outbox/alice.pem", "--dir", "alice")

    machine.ok("csr", "alice", "--renew", "--dir", "thief")
    assert (thief / "alice.csr").read_bytes() != stolen
    refused = machine.refused("ca", "sign", "thief/alice.csr", "--out", "outbox")
    assert "superseded" in refused.err


def test_another_key_without_proof_needs_replace_which_revokes_the_old_at_once(
    machine: Machine, certified: Callable[..., None]
) -> None:
    certified("alice")
    machine.ok("csr", "alice", "--dir", "again")
    refused = machine.refused("ca", "sign", "again/alice.csr", "--out", "outbox")
    assert "--replace" in refused.err
    machine.ok("ca", "sign", "again/alice.csr", "--replace", "--out", "outbox")
    old, new = recorded(machine, "alice")
    assert (old["state"], old["reason"], new["state"]) == ("revoked", "superseded", "good")
    assert not json.loads(machine.ok("ca", "audit", "--json").out)["crl_is_behind"]


def test_the_same_csr_again_gives_the_certificate_that_was_recorded(
    machine: Machine, certified: Callable[..., None]
) -> None:
    certified("alice")
    machine.ok("ca", "sign", "alice/alice.csr", "--out", "outbox")
    assert len(recorded(machine, "alice")) == 1
    refused = machine.refused("ca", "sign", "alice/alice.csr", "--lifetime", "7d", "--out", "outbox")
    assert "--reissue" in refused.err
