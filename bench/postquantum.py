"""What ML-DSA-65 costs beside P-256: a handshake's CPU on either side, signing by the CA, and octets."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from bench.measure import Race, Sample, run, timed
from bench.stage import KEYSTEAD
from keystead.machine.clock import system_clock
from keystead.pki import csr, keys
from keystead.pki.keys import KeyType
from keystead.subscriber.fileclient.session import credentials_of
from keystead.subscriber.folder import open_folder, read_crls
from keystead.subscriber.roles import Role
from keystead.tls.contexts import InForce, ServerCredentials
from keystead.tls.crls import NO_CRLS, advance
from keystead.tls.postquantum import post_quantum_context
from keystead.tls.refused import VerifyNote

TYPES = (KeyType.P256, KeyType.ML_DSA_65)


@dataclass(frozen=True)
class Ends:
    """Both contexts of one environment whose keys are all of one type, and where its files lie."""

    server: SSL.Context
    client: SSL.Context
    home: Path
    folder: Path


class Meter:
    """Sums up what was used while it ran, by the clock and of CPU."""

    def __init__(self) -> None:
        self.sample = Sample(0.0, 0.0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the body."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.sample += Sample(time.perf_counter() - wall, time.process_time() - cpu)


def race(place: Path, handshakes: int, certificates: int, rounds: int) -> str:
    """The races, as Markdown."""
    ends = {key_type: _ends(place / key_type, key_type) for key_type in TYPES}
    sides = [
        Race(
            f"{handshakes:,} mutual TLS 1.3 handshakes in memory: the {side}'s part",
            "handshakes",
            handshakes,
            {key_type: partial(_shake, ends[key_type], handshakes, side) for key_type in TYPES},
        )
        .run(rounds)
        .report()
        for side in ("server", "client")
    ]
    signing = Race(
        f"`keystead ca sign` of {certificates:,} CSRs, CA and leaves of the same type",
        "certificates",
        certificates,
        {key_type: _signing(ends[key_type], key_type, certificates) for key_type in TYPES},
    )
    note = "Leaf and issuing CA, both lists checked; both ends over cryptography's OpenSSL; X25519MLKEM768.\n"
    return "\n".join([*sides, note, signing.run(rounds).report(), _sizes(ends)])


def _ends(place: Path, key_type: KeyType) -> Ends:
    home, folder = place / "home", place / "certs"
    place.mkdir()
    run([KEYSTEAD, "ca", "init", "--no-passphrase", "--home", str(home), "--key-type", key_type])
    for name, profile in (("web", "server"), ("alice", "client")):
        kind = ("--profile", profile)
        run([KEYSTEAD, "csr", name, *kind, "--dir", str(folder), "--key-type", key_type])
        signed = ("--home", str(home), "--out", str(place))
        run([KEYSTEAD, "ca", "sign", str(folder / f"{name}.csr"), *kind, *signed])
        run([KEYSTEAD, "install", str(place / f"{name}.pem"), "--dir", str(folder)])
    own = open_folder(folder, Role.SERVER, "web")
    server = ServerCredentials(own.chain_pem, own.key_pem, own.anchors, own.trust_domain)
    given = read_crls(own.crl_path) or ()
    lists = advance(NO_CRLS, given, authorities=server.authorities(), floors={}, now=system_clock()).crls
    client = post_quantum_context(credentials_of(folder, "alice"), system_clock)
    return Ends(InForce.of(server, lists).context, client.engine, home, folder)


def _shake(ends: Ends, count: int, side: str) -> Sample:
    meters = {"server": Meter(), "client": Meter()}
    for _ in range(count):
        server, client = SSL.Connection(ends.server, None), SSL.Connection(ends.client, None)
        server.set_app_data(VerifyNote())
        server.set_accept_state()
        client.set_connect_state()
        done = {"server": False, "client": False}
        while not all(done.values()):
            for name, connection, other in (("client", client, server), ("server", server, client)):
                with meters[name].running():
                    done[name] = _advance(connection)
                _carry(connection, other)
    return meters[side].sample


def _advance(connection: SSL.Connection) -> bool:
    try:
        connection.do_handshake()
    except SSL.WantReadError:
        return False
    return True


def _carry(origin: SSL.Connection, target: SSL.Connection) -> None:
    try:
        while True:
            target.bio_write(origin.bio_read(65_536))
    except SSL.WantReadError:
        return


def _signing(ends: Ends, key_type: KeyType, count: int) -> Callable[[], Sample]:
    requests, rounds = ends.home.with_name("csrs"), iter(range(1_000))

    def sign() -> Sample:
        # Keys that were never signed: the same CSR again would be answered from the inventory.
        shutil.rmtree(requests, ignore_errors=True)
        requests.mkdir()
        turn = next(rounds)
        for number in range(count):
            name = f"c{turn}-{number}"
            made = csr.build(keys.generate(key_type), common_name=name, purposes=[Role.CLIENT.purpose])
            (requests / f"{name}.csr").write_bytes(made.public_bytes(Encoding.PEM))
        out = ("--home", str(ends.home), "--out", str(ends.home.with_name("out")))
        return timed(lambda: run([KEYSTEAD, "ca", "sign", str(requests), *out]))

    return sign


def _sizes(ends: dict[KeyType, Ends]) -> str:
    files = {"private key": "alice.key", "CSR": "alice.csr", "certificate and issuing CA": "alice.crt"}
    lines = ["Octets, in PEM:", "", f"| | {' | '.join(TYPES)} |", "|---|---|---|"]
    for what, name in files.items():
        sizes = " | ".join(f"{(ends[key_type].folder / name).stat().st_size:,}" for key_type in TYPES)
        lines.append(f"| {what} | {sizes} |")
    return "\n".join([*lines, ""])
