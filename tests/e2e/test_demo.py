"""`keystead demo` plays the whole workflow and every refusal, and leaves nothing behind unless asked."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Machine

pytestmark = pytest.mark.slow


def test_everything_is_played_and_every_refusal_explained(machine: Machine) -> None:
    played = machine.ok("demo", "--dir", "kept")
    for refusal in (
        "no certificate",
        "another environment",
        "expired",
        "revoked",
        "name that its certificate",
    ):
        assert refusal in played.out
    assert "certificate required" in played.out or "CERTIFICATE_REQUIRED" in played.out
    assert "SHA-256 here and there" in played.out
    assert "all of it went as it should" in played.out
    assert (machine.folder / "kept/alice/alice.key").exists()


def test_nothing_is_left_behind(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    place = machine.folder / "tmp"
    place.mkdir()
    machine.ok("demo", TMPDIR=str(place))
    assert not list(place.iterdir())
    assert not (machine.folder / ".keystead").exists()


def test_a_folder_with_files_in_it_is_not_played_in(machine: Machine) -> None:
    (machine.folder / "kept").mkdir()
    (machine.folder / "kept/mine").write_text("x")
    assert "not empty" in machine.refused("demo", "--dir", "kept").err


def test_the_shells_settings_do_not_reach_it(machine: Machine) -> None:
    elsewhere = machine.folder / "elsewhere"
    machine.ok("demo", KEYSTEAD_HOME=str(elsewhere), KEYSTEAD_ENV="prod", KEYSTEAD_SERVER="https://nowhere:1")
    assert not elsewhere.exists()
