"""Signing many CSRs: `keystead ca sign` beside `openssl ca -infiles`, and beside the bare crypto."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from bench.filling import fill
from bench.measure import Race, Sample, run, timed
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


def _make_some(folder: Path, stem: str, numbers: range) -> None:
    for number in numbers:
        key = keys.generate(keys.KeyType.P256)
        made = csr.build(key, common_name=f"{stem}{number}", purposes=[ExtendedKeyUsageOID.CLIENT_AUTH])
        (folder / f"{stem}{number}.csr").write_bytes(made.public_bytes(Encoding.PEM))


def make_csrs(folder: Path, amount: int, stem: str = "c") -> None:
    """Write ``amount`` P-256 CSRs as separate files, and have them on the disk before anybody is timed."""
    folder.mkdir()
    step = 500
    parts = [range(start, min(start + step, amount)) for start in range(0, amount, step)]
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(_make_some, folder, stem), parts))
    os.sync()


def race(place: Path, amount: int, rounds: int, inventory: int) -> str:
    """The races, as Markdown: many CSRs, one (what starting costs), and many beside ``inventory`` records."""
    make_csrs(place / "csrs", amount)
    make_csrs(place / "one", 1)
    many = Race(
        f"Signing {amount:,} P-256 CSRs, durable",
        "certificates",
        amount,
        {
            "`openssl ca -infiles`": lambda: _openssl(place, place / "csrs"),
            "`keystead ca sign FOLDER`": lambda: _keystead(place, place / "csrs"),
            "verify + sign alone, one core, nothing recorded": lambda: _crypto(place / "csrs"),
        },
    ).run(rounds)
    start = Race(
        "The same for one CSR: what starting costs",
        "runs",
        1,
        {
            "`openssl ca -infiles`": lambda: _openssl(place, place / "one"),
            "`keystead ca sign FOLDER`": lambda: _keystead(place, place / "one"),
        },
    ).run(max(rounds, 5))
    return "\n".join([many.report(), start.report(), _grown(place, amount, rounds, inventory)])


def _grown(place: Path, amount: int, rounds: int, inventory: int) -> str:
    """Signing where a thousand was signed before, and where ``inventory`` was; new CSRs in each round."""
    homes = {size: place / f"home-of-{size}" for size in (1_000, inventory)}
    for size, home in homes.items():
        run([KEYSTEAD, "ca", "init", "--no-passphrase", "--home", str(home)])
        make_csrs(place / f"filler-{size}", 1, stem="filler")
        _sign(home, place / f"filler-{size}", _fresh(place, "out"))
        fill(home, size)

    def sign(home: Path) -> Sample:
        csrs = _fresh(place, "batch")
        make_csrs(csrs, amount, stem=csrs.name)
        return timed(lambda: _sign(home, csrs, _fresh(place, "out")))

    return (
        Race(
            f"Signing {amount:,} CSRs beside what was signed before",
            "certificates",
            amount,
            {f"{size:,} records": partial(sign, home) for size, home in homes.items()},
        )
        .run(rounds)
        .report()
    )


def _keystead(place: Path, source: Path) -> Sample:
    home = _fresh(place, "home")
    run([KEYSTEAD, "ca", "init", "--no-passphrase", "--home", str(home)])
    return timed(lambda: _sign(home, source, _fresh(place, "out")))


def _sign(home: Path, source: Path, out: Path) -> None:
    run([KEYSTEAD, "ca", "sign", str(source), "--home", str(home), "--out", str(out)])


def _openssl(place: Path, source: Path) -> Sample:
    folder = _fresh(place, "openssl")
    (folder / "out").mkdir(parents=True)
    (folder / "openssl.cnf").write_text(_OPENSSL_CONFIG)
    (folder / "index.txt").touch()
    run(
        [
            *("openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=bench", "-days", "365"),
        ],
        cwd=folder,
    )
    files = sorted(map(str, source.glob("*.csr")))
    command = ["openssl", "ca", "-config", "openssl.cnf", "-batch", "-notext", "-infiles", *files]
    return timed(lambda: run(command, cwd=folder))


def _crypto(source: Path) -> Sample:
    code = "import sys\nfrom bench.signing import verify_and_sign\nverify_and_sign(sys.argv[1])"
    return timed(lambda: run([sys.executable, "-c", code, str(source)], cwd=Path.cwd()))


_numbers = count(1)


def _fresh(place: Path, stem: str) -> Path:
    """A path that was never used: where files were deleted a moment ago, ext4 is slow to make new ones."""
    return place / f"{stem}-{next(_numbers)}"


def verify_and_sign(folder: str) -> None:
    """The cryptographic least of signing each CSR in ``folder``: verify its signature, make another."""
    key = keys.generate(keys.KeyType.P256)
    for entry in os.scandir(folder):
        request = x509.load_pem_x509_csr(Path(entry.path).read_bytes())
        assert request.is_signature_valid
        keys.sign(key, request.tbs_certrequest_bytes)
