"""A subscriber's commands at once on one folder: two installs, two requests, two servers."""

from __future__ import annotations

from collections.abc import Callable

from keystead.subscriber.folder import open_folder
from keystead.subscriber.roles import Role
from tests.crashes.making import copied
from tests.crashes.soundness import assert_no_strays, leaf
from tests.crashes.works import WORKS
from tests.e2e.conftest import PATIENCE, Machine, Process, Server
from tests.races.starting import at_once
from tests.rounds import Rounds, in_sample_and_soak

MIB = 1024 * 1024


@in_sample_and_soak
def test_two_requests_at_once_make_one_key(founded: Machine, rounds: Rounds) -> None:
    csr = "csr", "alice", "--dir", "alice"
    for chance in rounds.play(2):
        with copied(founded) as shared:
            ran = at_once(shared, chance, csr, csr)
            assert sorted(each.code for each in ran) == [0, 1], ran
            assert_no_strays(shared.folder / "alice")


@in_sample_and_soak
def test_two_installs_at_once_of_a_renewal_leave_the_new_pair(
    prepared: Callable[[str], Machine], rounds: Rounds
) -> None:
    machine, install = prepared("install a renewal"), WORKS["install a renewal"].words
    new = leaf(machine.folder / "second/alice.pem")
    for chance in rounds.play(2):
        with copied(machine) as shared:
            for each in at_once(shared, chance, install, install):
                assert each.code == 0, each.text
            assert open_folder(shared.folder / "alice", Role.CLIENT).certificate == new
            assert_no_strays(shared.folder / "alice")


@in_sample_and_soak
def test_two_servers_on_one_folder_keep_whole_files_and_spare_each_others_uploads(
    certified: Machine, rounds: Rounds
) -> None:
    machine = certified
    uploads = machine.folder / "uploads" / "client" / "alice"
    words = "--dir", "server", "--uploads", "uploads", "--keep-free", "0"
    names = "one.bin", "two.bin", "same.bin"

    def send(server: Server, own: str) -> Process:
        return machine.start("upload", own, "same.bin", "--dir", "alice", "--to", server.url)

    with machine.serving(*words) as one:
        for chance in rounds.play(1):
            for name in names:
                (machine.folder / name).write_bytes(chance.randbytes(MIB) * 8)
            first = send(one, "one.bin")
            with machine.serving(*words) as two:  # its sweep runs while the first receives
                second = send(two, "two.bin")
                assert (first.wait(PATIENCE), second.wait(PATIENCE)) == (0, 0)
            for name in names:
                assert (uploads / name).read_bytes() == (machine.folder / name).read_bytes()
            assert_no_strays(uploads)
