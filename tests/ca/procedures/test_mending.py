"""Single files come back from an archive; what is there is put aside, never lost; another CA's never come."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest

from keystead.ca.audit import log
from keystead.ca.audit.entry import RESTORED
from keystead.ca.claims import COMPROMISED, open_claims
from keystead.ca.founding import found
from keystead.ca.home import open_books
from keystead.ca.procedures import mending
from keystead.ca.procedures.manifest import File
from keystead.ca.procedures.mending import FILES, PutBack, put_back
from keystead.ca.procedures.packing import Stream, Unpacker, pack
from keystead.custody.envelope import open_sealed, seal
from keystead.errors import BadInput, NotThere, Refused
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import private_pem
from tests.ca.office import DEV, STAGING, Office, configuration
from tests.ca.procedures.keeping import IDENTITY, RECIPIENTS, Keeper
from tests.pki.makers import csr_pem, key


def mend(
    keeper: Keeper, *names: str, office: Office | None = None, archive: str = "a.backup"
) -> tuple[PutBack, ...]:
    home = (office or keeper.office).home
    return put_back(
        home,
        keeper.source(archive, by=IDENTITY),
        names,
        actor="test",
        clock=lambda: keeper.office.now,
        announce=lambda manifest: None,
    )


@pytest.mark.parametrize("name", [name for name in FILES if name != "keys.db"])
def test_a_file_that_is_lost_comes_back_as_it_was(keeper: Keeper, name: str) -> None:
    path = keeper.office.home.folder(DEV) / name
    before, mode = path.read_bytes(), path.stat().st_mode
    keeper.take()
    path.unlink()
    assert mend(keeper, name) == (PutBack(path, None),)
    assert (path.read_bytes(), path.stat().st_mode) == (before, mode)
    keeper.office.signed(csr_pem("alice"))


def test_a_sealed_key_comes_back_sealed(keeper: Keeper) -> None:
    path = keeper.office.home.folder(STAGING) / "issuing.key.age"
    before = path.read_bytes()
    keeper.take(environment=STAGING)
    path.unlink()
    mend(keeper, "issuing.key")
    assert path.read_bytes() == before
    assert not path.with_suffix("").exists()


def test_what_stands_there_is_put_aside_each_time(keeper: Keeper) -> None:
    path = keeper.office.home.folder(DEV) / "ca.toml"
    keeper.take()
    for number in (1, 2):
        path.write_text(f"damaged {number}")
        ((done),) = mend(keeper, "ca.toml")
        assert done.aside == path.with_name(f"ca.toml.broken.{number}")
        assert done.aside is not None
        assert done.aside.read_text() == f"damaged {number}"
    assert mend(keeper, "ca.toml") == (PutBack(path, None),)


def test_what_was_recorded_since_stays(keeper: Keeper) -> None:
    keeper.take()
    keeper.office.signed(csr_pem("late"))
    (keeper.office.home.folder(DEV) / "issuing.key").unlink()
    mend(keeper, "issuing.key")
    assert keeper.office.known("late")
    assert imports(keeper) == [("begun", "only issuing.key"), ("part", "only issuing.key")]


def imports(keeper: Keeper) -> list[tuple[str, str]]:
    with open_books(keeper.office.charter()) as books, books.inventory.reading() as tx:
        told = [numbered.entry for numbered in log.entries(tx)]
    return [(entry.result, entry.detail) for entry in told if entry.what == RESTORED]


def test_a_kill_before_the_key_lies_there_leaves_an_entry_of_it(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = keeper.office.home.folder(DEV) / "issuing.key"
    keeper.take()
    path.unlink()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mending, "write_new", killed)
    with pytest.raises(KeyboardInterrupt):
        mend(keeper, "issuing.key")
    assert imports(keeper) == [("begun", "only issuing.key")]
    monkeypatch.undo()
    mend(keeper, "issuing.key")
    assert [result for result, _ in imports(keeper)] == ["begun", "begun", "part"]


def test_of_a_file_without_end_no_more_is_read_than_tells_it_apart(keeper: Keeper) -> None:
    path = keeper.office.home.folder(DEV) / "ca.toml"
    keeper.take()
    before = path.read_bytes()
    with path.open("ab") as file:
        file.truncate(1 << 42)
    ((done),) = mend(keeper, "ca.toml")
    assert done.aside is not None
    assert path.read_bytes() == before


def test_lost_claims_are_made_anew_with_the_barred_ones(keeper: Keeper) -> None:
    keeper.office.signed(csr_pem("mallory"), environment=STAGING)
    keeper.office.revoke("mallory", "keyCompromise", environment=STAGING)
    keeper.take()
    keeper.office.signed(csr_pem("late"))
    for path in keeper.office.home.path.glob("keys.db*"):
        path.unlink()
    mend(keeper, "keys.db")
    lost, late = (Fingerprint.of_key(key(name).public_key()).hex for name in ("mallory", "late"))
    with open_claims(keeper.office.home.claims) as claims:
        assert claims.holders([lost, late]) == {lost: COMPROMISED, late: DEV}


def test_claims_that_cannot_be_read_are_put_aside_and_made_anew(keeper: Keeper) -> None:
    keeper.office.signed(csr_pem("alice"))
    keeper.take()
    path = keeper.office.home.claims
    for left in path.parent.glob("keys.db-*"):
        left.unlink()
    path.write_bytes(b"no database")
    ((done),) = mend(keeper, "keys.db")
    assert done.aside is not None
    assert done.aside.read_bytes() == b"no database"
    with open_claims(path) as claims:
        fingerprint = Fingerprint.of_key(key("alice").public_key()).hex
        assert claims.holders([fingerprint]) == {fingerprint: DEV}


@pytest.mark.parametrize("lost", [(), ("root.crt", "ca.crt")])
def test_nothing_comes_into_another_ca_of_the_same_name(
    keeper: Keeper, tmp_path: Path, lost: tuple[str, ...]
) -> None:
    keeper.take()
    other = Office(tmp_path / "other")
    other.folder.mkdir()
    found(other.home, configuration(DEV), None, actor="other", clock=lambda: other.now)
    for name in lost:
        (other.home.folder(DEV) / name).unlink()
    before = other.bytes_of_home()
    with pytest.raises(Refused, match="of another CA than"):
        mend(keeper, "root.crt", office=other)
    assert other.bytes_of_home() == before


def test_nothing_comes_from_an_archive_that_this_ca_did_not_make(keeper: Keeper) -> None:
    # All that it takes is public: the certificates, and the key that archives are sealed to.
    keeper.take()
    office, inventory = keeper.office, BytesIO()
    unpacker = Unpacker(lambda manifest: inventory, "a.backup")
    with (office.folder / "a.backup").open("rb") as sealed:
        open_sealed(sealed, unpacker, IDENTITY, "a.backup")
    real = unpacker.contents()
    lax = real.files["ca.toml"] + b"# mallory's\n"
    files = tuple(
        File(file.name, len(lax), sha256(lax).hexdigest()) if file.name == "ca.toml" else file
        for file in real.manifest.files
    )
    manifest = replace(real.manifest, backup="0" * 32, files=files)
    with (office.folder / "forged.backup").open("wb") as out:
        octets = pack(manifest, {**real.files, "ca.toml": lax}, [inventory.getvalue()])
        seal(Stream(octets), out, RECIPIENTS)
    before = office.bytes_of_home()
    with pytest.raises(Refused, match="is not known to this CA"):
        mend(keeper, "ca.toml", "keys.db", archive="forged.backup")
    assert office.bytes_of_home() == before


def test_nothing_comes_where_no_environment_is(keeper: Keeper, tmp_path: Path) -> None:
    keeper.take()
    with pytest.raises(NotThere, match="no environment 'dev'"):
        mend(keeper, "issuing.key", office=Office(tmp_path))
    assert list(tmp_path.glob("home/*")) == []


@pytest.mark.parametrize("stem", ["issuing", "root"])
def test_a_key_that_does_not_fit_the_certificate_is_not_put_in_place(keeper: Keeper, stem: str) -> None:
    path = keeper.office.home.folder(DEV) / f"{stem}.key"
    own = path.read_bytes()
    path.write_bytes(private_pem(key("somebody else")))
    keeper.take()
    path.write_bytes(own)
    with pytest.raises(BadInput, match=rf"{stem}\.key does not belong to .*{stem}\.crt"):
        mend(keeper, f"{stem}.key")
    assert path.read_bytes() == own
    assert imports(keeper) == []


def test_an_archive_without_the_file_says_so(keeper: Keeper) -> None:
    (keeper.office.home.folder(DEV) / "root.key").unlink()
    keeper.take()
    with pytest.raises(NotThere, match=r"holds no root\.key"):
        mend(keeper, "root.key")
