"""Archives of earlier keysteads are read for ever: one that was committed is restored, one seal opened."""

from __future__ import annotations

import io
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from keystead.ca.home import Home
from keystead.ca.procedures.landing import Source
from keystead.ca.procedures.restore import restore
from keystead.custody.envelope import open_sealed
from keystead.custody.recipients import read_opener
from keystead.machine.secrets import Passphrase, Secrets
from tests.ca.office import Office
from tests.pki.makers import NOW, csr_pem

VECTORS = Path(__file__).parents[2] / "vectors"


def test_an_archive_of_the_first_format_is_restored_and_its_ca_signs_on(tmp_path: Path) -> None:
    identity = Path(shutil.copy(VECTORS / "dev.backup.identity", tmp_path))
    identity.chmod(0o600)
    later = NOW + timedelta(days=1)
    restored = restore(
        Home(tmp_path / "home"),
        Source(VECTORS / "dev.backup", read_opener(identity)),
        None,
        Secrets({}),
        actor="test",
        clock=lambda: later,
        announce=lambda manifest: None,
    )
    assert (restored.manifest.certificates, restored.manifest.revocations, restored.barred) == (5, 2, 1)
    office = Office(tmp_path, later)
    assert office.known("alice")[0].revocation is None
    assert office.known("bob")[0].revocation is not None
    assert office.signed(csr_pem("dave")).identity.name == "dave"


@pytest.mark.slow
def test_what_the_first_format_sealed_by_a_passphrase_is_opened() -> None:
    sink = io.BytesIO()
    with (VECTORS / "sealed-by-passphrase").open("rb") as file:
        open_sealed(file, sink, Passphrase("correct horse battery staple"), "it")
    assert sink.getvalue() == b"hello, world\n" * 100
