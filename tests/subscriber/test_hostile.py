"""Whatever somebody sends, `install` and `show` end in one of keystead's errors or in words."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import BadInput, KeysteadError
from keystead.pki import csr
from keystead.pki.keys import KeyType, generate
from keystead.pki.names import HostNames
from keystead.pki.revocation import load_crls
from keystead.subscriber.handout import read_handout
from keystead.subscriber.inspect import look_into
from keystead.subscriber.layout import Folder
from tests.subscriber.throwaway_ca import ThrowawayCa

NOW = datetime.now(UTC)
CA = ThrowawayCa()
KEY = generate(KeyType.P256)
REQUEST = csr.build(KEY, common_name="web", purposes=[], host_names=HostNames.of(["localhost"]))
LEAF = CA.sign(REQUEST.public_bytes(Encoding.PEM), profile="server")
SEEDS = [
    CA.bundle(LEAF),
    LEAF.public_bytes(Encoding.DER),
    REQUEST.public_bytes(Encoding.DER),
    load_crls(CA.crl_pem(), "crl")[0].public_bytes(Encoding.DER),
    x509.load_pem_x509_csr(REQUEST.public_bytes(Encoding.PEM)).public_bytes(Encoding.PEM),
]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """One of the seeds with a few octets overwritten, and perhaps cut short."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data))) or None])


def _install(path: Path) -> None:
    read_handout(path, Folder(path.parent / "certs"), None, None)


def _show(path: Path) -> None:
    look_into(path, NOW)


@pytest.mark.parametrize("read", [_install, _show])
@given(data=st.one_of(mutations(), st.binary()))
def test_a_mangled_file_is_read_or_refused(read: Callable[[Path], None], data: bytes) -> None:
    with TemporaryDirectory() as place:
        path = Path(place) / "came.pem"
        path.write_bytes(data)
        with suppress(KeysteadError):
            read(path)


@pytest.mark.parametrize("read", [_install, _show])
def test_a_name_that_is_parsed_late_is_refused_early(tmp_path: Path, read: Callable[[Path], None]) -> None:
    """cryptography parses subject and issuer only when they are looked at."""
    der = LEAF.public_bytes(Encoding.DER)
    broken = der.replace(b"\x0c\x13example dev issuing", b"\x44\x13example dev issuing")
    assert broken != der
    (path := tmp_path / "came.der").write_bytes(broken)
    with pytest.raises(BadInput):
        read(path)
