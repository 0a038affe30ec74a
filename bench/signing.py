"""Signing many CSRs: `keystead ca sign` beside `openssl ca -infiles`, and beside the bare crypto."""

from __future__ import annotations

import os
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from bench.measure import Race, run
from keystead.pki import csr, keys

KEYSTEAD = str(Path(sys.executable).with_name("keystead"))

_OPENSSL_CONFIG = """\
[ca]
default_ca = it
[it]
dir = .
database = index.txt
rand_serial = yes
new_certs_dir = out
certificate = ca.crt
private_key = ca.key
default_md = sha256
default_days = 30
policy = any
unique_subject = no
x509_extensions = leaf
[any]
commonName = supplied
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def _make_some(arguments: tuple[Path, int, int]) -> None:
    folder, start, stop = arguments
    for number in range(start, stop):
        key = keys.generate(keys.KeyType.P256)
        made = csr.build(key, common_name=f"c{number}", purposes=[ExtendedKeyUsageOID.CLIENT_AUTH])
        (folder / f"c{number}.csr").write_bytes(made.public_bytes(Encoding.PEM))


def make_csrs(folder: Path, count: int) -> None:
    """Write ``count`` P-256 CSRs as separate files."""
    folder.mkdir()
    step = 500
    with ProcessPoolExecutor() as pool:
        list(pool.map(_make_some, [(folder, n, min(n + step, count)) for n in range(0, count, step)]))


def race(place: Path, count: int, rounds: int) -> str:
    """The race, as Markdown."""
    make_csrs(place / "csrs", count)
    one = place / "one"
    one.mkdir()
    shutil.copy(place / "csrs" / "c0.csr", one)

    def keystead(source: Path) -> None:
        home = place / "home"
        shutil.rmtree(home, ignore_errors=True)
        run([KEYSTEAD, "ca", "init", "--no-passphrase", "--home", str(home)])
        _timed_sign(home, source, place / "out")

    def openssl(source: Path) -> None:
        folder = place / "openssl"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "out").mkdir(parents=True)
        (folder / "openssl.cnf").write_text(_OPENSSL_CONFIG)
        (folder / "index.txt").touch()
        run(
            [
                *("openssl", "req", "-x509", "-nodes", "-newkey", "ec"),
                *("-pkeyopt", "ec_paramgen_curve:P-256"),
                *("-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=bench", "-days", "365"),
            ],
            cwd=folder,
        )
        files = sorted(map(str, source.glob("*.csr")))
        run(["openssl", "ca", "-config", "openssl.cnf", "-batch", "-notext", "-infiles", *files], cwd=folder)

    def crypto(source: Path) -> None:
        code = "import sys\nfrom bench.signing import verify_and_sign\nverify_and_sign(sys.argv[1])"
        run([sys.executable, "-c", code, str(source)], cwd=Path.cwd())

    many = Race(
        f"Signing {count:,} P-256 CSRs, durable (the CA made anew in each round, its making included)",
        "certificates",
        count,
        {
            "`openssl ca -infiles`": lambda: openssl(place / "csrs"),
            "`keystead ca sign FOLDER`": lambda: keystead(place / "csrs"),
            "verify + sign alone, one core, nothing recorded": lambda: crypto(place / "csrs"),
        },
    ).run(rounds)
    start = Race(
        "The same for one CSR: what starting costs",
        "runs",
        1,
        {"`openssl ca -infiles`": lambda: openssl(one), "`keystead ca sign FOLDER`": lambda: keystead(one)},
    ).run(max(rounds, 5))
    return many.report() + "\n" + start.report()


def _timed_sign(home: Path, source: Path, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    run([KEYSTEAD, "ca", "sign", str(source), "--home", str(home), "--out", str(out)])


def verify_and_sign(folder: str) -> None:
    """The cryptographic least of signing each CSR in ``folder``: verify its signature, make another."""
    key = keys.generate(keys.KeyType.P256)
    for entry in os.scandir(folder):
        request = x509.load_pem_x509_csr(Path(entry.path).read_bytes())
        assert request.is_signature_valid
        keys.sign(key, request.tbs_certrequest_bytes)
