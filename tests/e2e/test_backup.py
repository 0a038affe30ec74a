"""Backups as people take them and bring them back: while signing goes on, and on a new machine."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyrage
import pytest

from keystead.pki.keys import KeyType, generate
from tests.e2e.conftest import PATIENCE, Machine
from tests.pki.makers import csr_pem

pytestmark = pytest.mark.slow

Program = Callable[[str], str]
PASSPHRASE = "correct horse battery staple"
ARCHIVES_OWN = "four other words entirely"


def secret(machine: Machine, name: str, text: str) -> str:
    path = machine.folder / name
    path.touch(mode=0o600)
    path.write_text(text + "\n")
    return str(path)


@pytest.fixture
def identity(machine: Machine) -> str:
    """An age identity in the file ``identity``; what is sealed to it is in ``recipient``."""
    made = pyrage.x25519.Identity.generate()
    (machine.folder / "recipient").write_text(f"# ours\n{made.to_public()}\n")
    return secret(machine, "identity", str(made))


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """The new machine."""
    return Machine(tmp_path_factory.mktemp("elsewhere"))


def carry(path: str, machine: Machine, other: Machine, name: str = "") -> None:
    shutil.copy(machine.folder / path, other.folder / (name or Path(path).name))


def count_of(machine: Machine, archive: str) -> int:
    """How many certificates ``ca backup --verify`` has found in an archive."""
    said = machine.ok("ca", "backup", "--verify", archive, "--identity", "identity").out
    found = re.search(r"certificates +([\d,]+): each signed", said)
    assert found, said
    return int(found[1].replace(",", ""))


def test_backups_that_are_taken_while_500_are_signed_are_each_of_one_moment(
    machine: Machine, dev_ca: None, identity: str
) -> None:
    (inbox := machine.folder / "inbox").mkdir()
    for number in range(500):
        (inbox / f"n{number}.csr").write_bytes(csr_pem(f"n{number}", signer=generate(KeyType.P256)))
    signing = machine.start("ca", "sign", "inbox", out=machine.folder / "out", err=machine.folder / "err")
    archives: list[str] = []
    is_going_on = True
    while is_going_on:
        try:
            signing.wait(0)
            is_going_on = False
        except subprocess.TimeoutExpired:
            pass
        archives.append(f"{len(archives)}.backup")
        machine.ok("ca", "backup", "--recipient", "recipient", "--out", archives[-1])
    assert signing.wait(PATIENCE) == 0
    counts = [count_of(machine, archive) for archive in archives]
    assert len(counts) > 1
    assert counts == sorted(counts)
    assert counts[-1] == 502


def test_a_folder_for_backups_is_made_where_a_slash_says_that_it_is_one(
    machine: Machine, dev_ca: None, identity: str
) -> None:
    machine.ok("ca", "backup", "--recipient", "recipient", "--out", "backups/")
    (archive,) = (machine.folder / "backups").glob("*.backup")
    assert archive.name.startswith("dev-")


def test_a_lost_machine_comes_back_and_the_whole_workflow_goes_on(
    machine: Machine, elsewhere: Machine, certified: Callable[..., None], dev_ca: None, identity: str
) -> None:
    certified("server", profile="server", sign=("--san", "localhost"))
    for name in ("alice", "bob"):
        certified(name)
    machine.ok("ca", "backup", "--recipient", "recipient", "--out", "a.backup")
    certified("late")
    for name in ("bob", "late"):
        machine.ok("ca", "revoke", name, "--reason", "superseded")
    for path in ("a.backup", "identity", ".keystead/dev/crl.pem"):
        carry(path, machine, elsewhere)
    shutil.rmtree(machine.folder / ".keystead")

    said = elsewhere.ok("ca", "restore", "a.backup", "--identity", "identity", "--crl", "crl.pem")
    assert re.match(r"environment dev · root (?:[0-9a-f]{4}:){7}[0-9a-f]{4}\n", said.out)
    assert "1 of its certificates, 1 that it does not know" in said.out
    elsewhere.ok("csr", "carol", "--dir", "carol")
    elsewhere.ok("ca", "sign", "carol/carol.csr", "--out", "outbox")
    elsewhere.ok("install", "outbox/carol.pem", "--dir", "carol")
    elsewhere.ok("ca", "revoke", "alice", "--reason", "superseded")
    elsewhere.ok("ca", "crl")
    assert json.loads(elsewhere.ok("ca", "audit", "--json").out)["crl_is_behind"] is False
    assert elsewhere.ok("status", "--home", ".keystead").code == 0

    carry(".keystead/dev/crl.pem", elsewhere, machine, "server/crl.pem")
    (elsewhere.folder / "file").write_text("hello")
    (machine.folder / "file").write_text("hello")
    with machine.serving("--dir", "server") as server:
        elsewhere.ok("upload", "file", "--to", server.url, "--dir", "carol")
        for name in ("alice", "bob", "late"):
            assert "revoked" in machine.refused("upload", "file", "--to", server.url, "--dir", name).text


def test_a_list_that_tells_no_more_than_the_backup_is_remarked_on(
    machine: Machine, elsewhere: Machine, certified: Callable[..., None], dev_ca: None, identity: str
) -> None:
    certified("bob")
    machine.ok("ca", "backup", "--recipient", "recipient", "--out", "a.backup")
    carry(".keystead/dev/crl.pem", machine, elsewhere, "old.pem")
    machine.ok("ca", "revoke", "bob", "--reason", "superseded")
    for path in ("a.backup", "identity", ".keystead/dev/crl.pem"):
        carry(path, machine, elsewhere)
    command = ("ca", "restore", "a.backup", "--identity", "identity", "--crl")

    assert "old.pem is no newer than the backup" in elsewhere.ok(*command, "old.pem").text
    assert "no newer" not in elsewhere.ok(*command, "crl.pem", "--home", "another").text


def test_a_sealed_ca_with_passphrases_from_its_backup_to_its_return(
    machine: Machine, elsewhere: Machine
) -> None:
    sealed = ("--passphrase-file", secret(machine, "passphrase", PASSPHRASE))
    lock = ("--archive-passphrase-file", secret(machine, "lock", ARCHIVES_OWN))
    machine.ok("ca", "init", "--env", "prod", "--org", "Example", *sealed)
    said = machine.ok("ca", "backup", "--env", "prod", *lock)
    (archive,) = machine.folder.glob("prod-*.backup")
    assert re.fullmatch(r"prod-\d{4}-\d\d-\d\dT\d{6}Z\.backup", archive.name)
    assert archive.stat().st_mode & 0o777 == 0o600
    assert f"next, here, that it can be restored: keystead ca backup --verify {archive.name}" in said.out
    verified = machine.ok("ca", "backup", "--verify", archive.name, *lock, *sealed)
    assert "a test signature by each" in verified.out

    carry(archive.name, machine, elsewhere)
    wrong = elsewhere.refused("ca", "restore", archive.name, "--without-crl", *sealed, *lock[:1], sealed[1])
    assert f"the passphrase does not open {archive.name}" in wrong.err
    wrong = elsewhere.refused("ca", "restore", archive.name, "--without-crl", *lock, *sealed[:1], lock[1])
    assert f"the passphrase does not open {archive.name}/issuing.key.age" in wrong.err
    assert not list(elsewhere.folder.glob(".keystead/*prod*"))
    back = elsewhere.ok("ca", "restore", archive.name, "--without-crl", *lock, *sealed)
    assert "NOT KNOWN (--without-crl)" in back.out
    assert "warning: whoever was revoked after the backup is let in again" in back.err
    elsewhere.ok("ca", "crl", "--env", "prod", *sealed)
    everything = b"".join(p.read_bytes() for p in elsewhere.folder.rglob("*") if p.is_file())
    assert PASSPHRASE.encode() not in everything
    assert ARCHIVES_OWN.encode() not in everything


def test_a_rehearsal_leaves_nothing_behind_right_or_wrong(
    machine: Machine, dev_ca: None, identity: str, tmp_path: Path
) -> None:
    machine.ok("ca", "backup", "--recipient", "recipient", "--out", "a.backup")
    other = secret(machine, "other", str(pyrage.x25519.Identity.generate()))
    (machine.folder / "temporary").mkdir()
    before = sorted(path for path in machine.folder.rglob("*"))

    def rehearsals() -> set[Path]:
        places = (Path("/dev/shm"), machine.folder / "temporary")
        return {path for place in places for path in place.glob("keystead-rehearsal-*")}

    beforehand = rehearsals()
    verify = ("ca", "backup", "--verify", "a.backup", "--identity")
    machine.ok(*verify, identity, TMPDIR=str(machine.folder / "temporary"))
    machine.refused(*verify, other)
    data = (machine.folder / "a.backup").read_bytes()
    (machine.folder / "a.backup").write_bytes(data[:-10])
    machine.refused(*verify, identity)
    deadline = time.monotonic() + PATIENCE
    left = rehearsals() - beforehand  # somebody else's may be among them, but not for ever
    while any(path.exists() for path in left):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    assert sorted(path for path in machine.folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("restore", "a.backup"), "--crl FILE or --without-crl"),
        (("restore", "a.backup", "--crl", "x", "--without-crl"), "--crl FILE or --without-crl"),
        (("backup", "--verify", "a.backup", "--out", "x"), "--out and --recipient"),
        (("backup", "--identity", "x"), "--verify"),
        (("backup", "--recipient", "AGE-SECRET-KEY-1XYZ"), "secret key"),
    ],
)
def test_words_that_do_not_fit_together_are_wrong_usage(
    machine: Machine, dev_ca: None, words: tuple[str, ...], told: str
) -> None:
    (machine.folder / "a.backup").write_text("x")
    ran = machine.run("ca", *words)
    assert ran.code == 2
    assert told in ran.err
    assert "XYZ" not in ran.text


def test_without_a_terminal_and_without_a_key_nothing_is_written(machine: Machine, dev_ca: None) -> None:
    said = machine.refused("ca", "backup", "--out", "a.backup").err
    assert "--archive-passphrase-file FILE" in said
    assert "--recipient" in said
    assert not (machine.folder / "a.backup").exists()


def test_a_short_passphrase_seals_no_archive_outside_dev(machine: Machine) -> None:
    sealed = ("--env", "prod", "--passphrase-file", secret(machine, "passphrase", PASSPHRASE))
    machine.ok("ca", "init", "--org", "Example", *sealed)
    short = secret(machine, "short", "secret")
    said = machine.refused("ca", "backup", "--env", "prod", "--archive-passphrase-file", short).err
    assert "too short" in said


@pytest.mark.parametrize("kind", ["age", "ssh"])
def test_age_and_tar_read_an_archive_without_keystead(
    machine: Machine, dev_ca: None, program: Program, kind: str
) -> None:
    key = machine.folder / "key"
    make = {
        "age": [program("age-keygen"), "-o", str(key)],
        "ssh": [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(key)],
    }
    subprocess.run(make[kind], check=True, capture_output=True)
    if kind == "age":
        public = subprocess.run([program("age-keygen"), "-y", str(key)], capture_output=True, check=True)
        (machine.folder / "key.pub").write_bytes(public.stdout)
    machine.ok("ca", "backup", "--recipient", "key.pub", "--out", "a.backup")
    opened = subprocess.run(
        [program("age"), "-d", "-i", str(key), str(machine.folder / "a.backup")],
        capture_output=True,
        check=True,
    )
    listed = subprocess.run(["tar", "t"], input=opened.stdout, capture_output=True, check=True)
    assert listed.stdout.split()[0] == b"manifest.json"
    crl = subprocess.run(["tar", "xO", "crl.pem"], input=opened.stdout, capture_output=True, check=True)
    assert crl.stdout == (machine.folder / ".keystead/dev/crl.pem").read_bytes()
    machine.ok("ca", "backup", "--verify", "a.backup", "--identity", "key")


def test_age_and_tar_read_an_archive_with_a_passphrase_as_the_manual_says(
    machine: Machine, dev_ca: None, program: Program
) -> None:
    lock = secret(machine, "lock", ARCHIVES_OWN)
    machine.ok("ca", "backup", "--archive-passphrase-file", lock, "--out", "a.backup")
    script = (
        "sed '/^-----END/q' a.backup > key.age && export LC_ALL=C && "
        f"sed '1,/^-----END/d' a.backup | {program('age')} -d -i key.age -o a.tar && tar tf a.tar"
    )
    said = typed_at_a_terminal(machine, script, ARCHIVES_OWN)
    assert "manifest.json" in said
    assert "inventory.db" in said


def typed_at_a_terminal(machine: Machine, script: str, answer: str) -> str:
    """What a shell prints that runs ``script`` at a terminal of its own, where ``answer`` is typed."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(machine.folder)
        os.execvp("bash", ["bash", "-c", script])
    said = b""
    with closing(os.fdopen(terminal, "r+b", buffering=0)) as opened:
        try:
            while piece := opened.read(1000):
                said += piece
                if b"passphrase" in piece:
                    opened.write(f"{answer}\n".encode())
        except OSError:
            pass  # the shell has ended
    os.waitpid(process, 0)
    return said.decode()
