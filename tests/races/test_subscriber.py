"""A subscriber's commands at once on one folder: two installs, two requests, two servers."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from keystead.subscriber.folder import open_folder
from keystead.subscriber.roles import Role
from tests.crashes.soundness import assert_no_strays, leaf
from tests.e2e.conftest import Machine
from tests.races.starting import at_once
from tests.rounds import Rounds, in_sample_and_soak

MIB = 1024 * 1024


def certify(machine: Machine, home: Path, name: str, profile: str = "client") -> None:
    machine.ok("csr", name, "--profile", profile, "--dir", name)
    machine.ok("ca", "sign", name, "--profile", profile, "--out", "out", "--home", str(home))
    machine.ok("install", f"out/{name}.pem", "--dir", name)


@in_sample_and_soak
def test_two_requests_at_once_make_one_key(machine: Machine, rounds: Rounds) -> None:
    folder = machine.folder / "alice"
    for chance in rounds.play(2):
        ran = at_once(machine, chance, *[("csr", "alice", "--dir", "alice")] * 2)
        assert sorted(each.code for each in ran) == [0, 1], [each.text for each in ran]
        assert_no_strays(folder)
        shutil.rmtree(folder)


@in_sample_and_soak
def test_two_installs_at_once_of_a_renewal_leave_the_new_pair(
    machine: Machine, home: Path, rounds: Rounds
) -> None:
    certify(machine, home, "alice")
    machine.ok("csr", "alice", "--renew", "--dir", "alice")
    machine.ok("ca", "sign", "alice", "--out", "renewed", "--home", str(home))
    new = leaf(machine.folder / "renewed/alice.pem")
    folder = machine.folder / "copy"
    for chance in rounds.play(2):
        shutil.copytree(machine.folder / "alice", folder)
        ran = at_once(machine, chance, *[("install", "renewed/alice.pem", "--dir", "copy")] * 2)
        assert [each.code for each in ran] == [0, 0], [each.text for each in ran]
        assert open_folder(folder, Role.CLIENT).certificate == new
        assert_no_strays(folder)
        shutil.rmtree(folder)


@in_sample_and_soak
def test_two_servers_on_one_folder_keep_whole_files_and_spare_each_others_uploads(
    machine: Machine, home: Path, rounds: Rounds
) -> None:
    for name, profile in (("server", "server"), ("alice", "client")):
        certify(machine, home, name, profile)
    uploads = machine.folder / "uploads" / "client" / "alice"
    words = "--dir", "server", "--uploads", "uploads", "--keep-free", "0"
    file = machine.folder / "same.bin"

    def send(url: str, own: str) -> None:
        machine.ok("upload", own, "same.bin", "--dir", "alice", "--to", url)

    with machine.serving(*words) as one:
        for chance in rounds.play(1):
            file.write_bytes(chance.randbytes(MIB) * 8)
            for own in ("one.bin", "two.bin"):
                (machine.folder / own).write_bytes(chance.randbytes(MIB) * 8)
            with ThreadPoolExecutor() as pool:
                first = pool.submit(send, one.url, "one.bin")
                with machine.serving(*words) as two:  # its sweep runs while the first receives
                    send(two.url, "two.bin")
                    first.result()
            for own in ("one.bin", "two.bin", "same.bin"):
                assert (uploads / own).read_bytes() == (machine.folder / own).read_bytes()
            assert_no_strays(uploads)
