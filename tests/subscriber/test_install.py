from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.errors import BadInput, Distrusted, KeysteadError, NotThere, Unavailable, WrongUsage
from keystead.pki.certificates import load_certificates, to_pem
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import load_private_pem
from keystead.pki.names import HostNames
from keystead.pki.revocation import crl_number, load_crls
from keystead.subscriber.folder import open_folder
from keystead.subscriber.install import Plan, Wish, install
from keystead.subscriber.layout import Files, Folder
from keystead.subscriber.renewal import renew
from keystead.subscriber.request import request
from keystead.subscriber.roles import Role
from tests.subscriber.conftest import Subscribe
from tests.subscriber.throwaway_ca import ThrowawayCa

Install = Callable[..., Plan]


@pytest.fixture
def alice(folder: Folder) -> Files:
    """A folder with a key and a CSR, and nothing else."""
    return request(folder, "alice", Role.CLIENT, HostNames()).files


@pytest.fixture
def leaf(ca: ThrowawayCa, alice: Files) -> x509.Certificate:
    return ca.sign(alice.csr.read_bytes())


@pytest.fixture
def put(folder: Folder, tmp_path: Path) -> Install:
    """Install some octets, from a folder of their own."""
    place = tmp_path / "came"
    place.mkdir()

    def put(data: bytes, name: str = "alice.pem", now: datetime | None = None, **wish: object) -> Plan:
        file = place / name
        file.write_bytes(data)
        return install(folder, Wish(file, **wish), now or datetime.now(UTC))  # type: ignore[arg-type]

    return put


def contents(folder: Folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.path.iterdir() if path.name != ".lock"}


def numbers(folder: Folder) -> list[int]:
    return [crl_number(crl) for crl in load_crls(folder.crl.read_bytes(), "crl.pem")]


def test_a_bundle_brings_all_that_is_needed(
    folder: Folder, alice: Files, leaf: x509.Certificate, ca: ThrowawayCa, put: Install
) -> None:
    put(ca.bundle(leaf))
    assert alice.certificate.read_bytes() == ca.chain_pem(leaf)
    assert folder.ca.read_bytes() == ca.ca_pem
    assert len(numbers(folder)) == 2
    assert open_folder(folder.path, Role.CLIENT).certificate == leaf


def test_a_certificate_takes_what_lies_beside_it(
    folder: Folder, leaf: x509.Certificate, ca: ThrowawayCa, put: Install, tmp_path: Path
) -> None:
    (tmp_path / "came" / "ca.crt").write_bytes(ca.ca_pem)
    (tmp_path / "came" / "crl.pem").write_bytes(ca.crl_pem())
    put(ca.chain_pem(leaf), "alice.crt")
    assert folder.ca.read_bytes() == ca.ca_pem
    assert len(numbers(folder)) == 2


def test_what_the_command_line_names_is_taken_instead(
    folder: Folder, leaf: x509.Certificate, ca: ThrowawayCa, prod: ThrowawayCa, put: Install, tmp_path: Path
) -> None:
    (tmp_path / "came" / "ca.crt").write_bytes(prod.ca_pem)
    (root := tmp_path / "root.pem").write_bytes(ca.ca_pem)
    (lists := tmp_path / "lists.pem").write_bytes(ca.crl_pem())
    put(ca.chain_pem(leaf), "alice.crt", ca=root, crl=lists)
    assert folder.ca.read_bytes() == ca.ca_pem
    assert len(numbers(folder)) == 2


def test_the_stem_is_found_by_the_key_not_by_the_name(folder: Folder, ca: ThrowawayCa, put: Install) -> None:
    files = request(folder, "test-client", Role.CLIENT, HostNames()).files
    signed = ca.sign(files.csr.read_bytes())
    renamed = folder.files("client")
    files.key.rename(renamed.key)
    put(ca.bundle(signed), "something.pem")
    assert renamed.certificate.exists()
    assert open_folder(folder.path, Role.CLIENT).identity.name == "test-client"


def test_without_lists_it_is_installed_with_a_warning(
    folder: Folder, leaf: x509.Certificate, ca: ThrowawayCa, put: Install
) -> None:
    plan = put(ca.chain_pem(leaf) + ca.ca_pem)
    assert "no revocation list" in plan.remarks[0]
    assert not folder.crl.exists()


def test_the_same_again_changes_nothing(
    folder: Folder, leaf: x509.Certificate, ca: ThrowawayCa, put: Install
) -> None:
    bundle = ca.bundle(leaf)
    put(bundle)
    before = {path: path.stat().st_mtime_ns for path in folder.path.iterdir() if path.name != ".lock"}
    assert put(bundle).changes == ()
    assert before == {p: p.stat().st_mtime_ns for p in folder.path.iterdir() if p.name != ".lock"}


def test_what_lies_in_the_folder_itself_can_be_installed(
    folder: Folder, alice: Files, leaf: x509.Certificate, ca: ThrowawayCa, now: datetime
) -> None:
    alice.certificate.write_bytes(ca.chain_pem(leaf))
    folder.ca.write_bytes(ca.ca_pem)
    folder.crl.write_bytes(ca.crl_pem())
    assert install(folder, Wish(alice.certificate), now).changes == ()


@pytest.mark.parametrize(
    "mangle",
    [
        lambda pem: pem.replace(b"\n", b"\r\n"),
        lambda pem: b"\xef\xbb\xbf" + pem,
        lambda pem: pem.decode().encode("utf-16"),
        lambda pem: b"Dear Alice,\n\nhere it is:\n\n" + pem + b"\n-- \nthe CA\n",
    ],
    ids=["crlf", "byte-order-mark", "utf-16", "mail"],
)
def test_what_mail_and_editors_do_to_pem_does_no_harm(
    alice: Files, leaf: x509.Certificate, ca: ThrowawayCa, put: Install, mangle: Callable[[bytes], bytes]
) -> None:
    put(mangle(ca.bundle(leaf)))
    assert alice.certificate.read_bytes() == ca.chain_pem(leaf)


def test_der_is_taken_where_the_chain_comes_with_it(
    alice: Files, leaf: x509.Certificate, ca: ThrowawayCa, put: Install, tmp_path: Path
) -> None:
    (chain := tmp_path / "chain.pem").write_bytes(to_pem(ca.issuing.certificate, ca.root.certificate))
    put(leaf.public_bytes(Encoding.DER), "alice.der", ca=chain)
    assert alice.certificate.read_bytes() == ca.chain_pem(leaf)


# Each of these is refused, and nothing is changed by it.


def refused(
    folder: Folder, attempt: Callable[[], object], kind: type[KeysteadError], code: str
) -> KeysteadError:
    before = contents(folder)
    with pytest.raises(kind) as refusal:
        attempt()
    assert contents(folder) == before
    assert refusal.value.code == code
    assert refusal.value.what
    assert refusal.value.why
    assert refusal.value.mend
    return refusal.value


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"hello", "no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate"),
        (b"-----BEGIN CERTIFICATE-----\n", "no certificate"),
        (b"-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n", "PKCS#7"),
        (b"\x30\x82\x01", "no certificate"),
    ],
)
def test_what_is_no_certificate_is_refused(
    folder: Folder, alice: Files, put: Install, data: bytes, says: str
) -> None:
    error = refused(folder, lambda: put(data), BadInput, "bad-certificate")
    assert says in error.what


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_csr_is_no_certificate(folder: Folder, alice: Files, put: Install, encoding: Encoding) -> None:
    csr = x509.load_pem_x509_csr(alice.csr.read_bytes()).public_bytes(encoding)
    error = refused(folder, lambda: put(csr), BadInput, "bad-certificate")
    assert "a CSR" in error.what
    assert "ca sign" in error.mend


def test_a_revocation_list_is_no_certificate(
    folder: Folder, alice: Files, ca: ThrowawayCa, put: Install
) -> None:
    error = refused(folder, lambda: put(ca.crl_pem()), BadInput, "bad-certificate")
    assert "--crl" in error.mend


def test_a_ca_certificate_alone_is_refused(
    folder: Folder, alice: Files, ca: ThrowawayCa, put: Install
) -> None:
    error = refused(folder, lambda: put(ca.ca_pem), BadInput, "bad-certificate")
    assert "CA certificates alone" in error.what


def test_a_folder_is_refused(folder: Folder, alice: Files, tmp_path: Path, now: datetime) -> None:
    refused(folder, lambda: install(folder, Wish(tmp_path), now), Unavailable, "unavailable")


def test_a_missing_file_is_refused(folder: Folder, alice: Files, tmp_path: Path, now: datetime) -> None:
    refused(folder, lambda: install(folder, Wish(tmp_path / "no.pem"), now), NotThere, "not-there")


def test_a_file_that_cannot_be_read_is_refused(
    folder: Folder, alice: Files, tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root reads everything, so the system's refusal is played."""
    open_path = os.open

    def denied(path: Any, *arguments: Any, **options: Any) -> int:
        if Path(path).name == "alice.pem":
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_path(path, *arguments, **options)

    monkeypatch.setattr(os, "open", denied)
    attempt = Wish(tmp_path / "alice.pem")
    refused(folder, lambda: install(folder, attempt, now), Unavailable, "unavailable")


def test_a_private_key_in_a_bundle_is_refused_loudly(
    folder: Folder, alice: Files, leaf: x509.Certificate, ca: ThrowawayCa, put: Install
) -> None:
    bundle = ca.bundle(leaf) + alice.key.read_bytes()
    error = refused(folder, lambda: put(bundle), BadInput, "private-key")
    assert "PRIVATE KEY" in error.what
    assert "compromised" in error.mend


def test_a_private_key_in_what_goes_with_it_is_refused(
    folder: Folder, alice: Files, leaf: x509.Certificate, ca: ThrowawayCa, put: Install, tmp_path: Path
) -> None:
    (root := tmp_path / "root.pem").write_bytes(ca.ca_pem + alice.key.read_bytes())
    refused(folder, lambda: put(ca.chain_pem(leaf), ca=root), BadInput, "private-key")


def test_a_certificate_of_another_key_is_refused(
    folder: Folder, alice: Files, ca: ThrowawayCa, put: Install, tmp_path: Path
) -> None:
    other = request(Folder(tmp_path / "other"), "alice", Role.CLIENT, HostNames()).files
    bundle = ca.bundle(ca.sign(other.csr.read_bytes()))
    error = refused(folder, lambda: put(bundle), NotThere, "key-mismatch")
    key = load_private_pem(alice.key.read_bytes(), "key")
    assert str(Fingerprint.of_key(key.public_key())) in error.why


def test_a_certificate_of_an_unknown_ca_is_refused(
    folder: Folder, leaf: x509.Certificate, ca: ThrowawayCa, prod: ThrowawayCa, put: Install
) -> None:
    forged = ca.chain_pem(leaf) + prod.ca_pem
    refused(folder, lambda: put(forged), Distrusted, "unknown-ca")


def test_a_leaf_without_its_issuing_ca_says_what_is_missing(
    folder: Folder, leaf: x509.Certificate, ca: ThrowawayCa, put: Install
) -> None:
    error = refused(folder, lambda: put(to_pem(leaf) + ca.ca_pem), Distrusted, "unknown-ca")
    assert "issuing CA" in error.why


def test_an_expired_certificate_is_refused(
    folder: Folder, leaf: x509.Certificate, ca: ThrowawayCa, put: Install
) -> None:
    later = datetime.now(UTC) + timedelta(days=31)
    refused(folder, lambda: put(ca.bundle(leaf), now=later), Distrusted, "expired")


def test_a_revoked_certificate_is_refused(
    folder: Folder, leaf: x509.Certificate, ca: ThrowawayCa, put: Install
) -> None:
    ca.revoke(leaf)
    refused(folder, lambda: put(ca.bundle(leaf)), Distrusted, "revoked")


def test_revoked_by_the_list_in_place_is_revoked(
    folder: Folder, leaf: x509.Certificate, ca: ThrowawayCa, put: Install
) -> None:
    before = ca.bundle(leaf)
    ca.revoke(leaf)
    folder.crl.write_bytes(ca.crl_pem())
    refused(folder, lambda: put(before), Distrusted, "revoked")


def test_a_forged_list_is_refused(
    folder: Folder, leaf: x509.Certificate, ca: ThrowawayCa, put: Install
) -> None:
    forger = ThrowawayCa()
    forger.issuing = type(ca.issuing)(ca.issuing.certificate, forger.issuing.key, ca.issuing.authorship)
    bundle = ca.chain_pem(leaf) + ca.ca_pem + forger.crl_pem()
    refused(folder, lambda: put(bundle), Distrusted, "crl-invalid")


def test_lists_of_one_issuer_alone_are_refused(
    folder: Folder, leaf: x509.Certificate, ca: ThrowawayCa, put: Install
) -> None:
    issuing_s = load_crls(ca.crl_pem(), "crl")[0].public_bytes(Encoding.PEM)
    bundle = ca.chain_pem(leaf) + ca.ca_pem + issuing_s
    refused(folder, lambda: put(bundle), Distrusted, "crl-missing")


def test_an_older_list_is_not_taken_and_the_newer_kept(
    folder: Folder, leaf: x509.Certificate, ca: ThrowawayCa, put: Install
) -> None:
    older = ca.chain_pem(leaf) + ca.ca_pem + ca.crl_pem()
    put(ca.bundle(leaf))
    newer = numbers(folder)
    plan = put(older)
    assert numbers(folder) == newer
    assert any("older" in remark for remark in plan.remarks)


def test_a_newer_list_is_taken(folder: Folder, leaf: x509.Certificate, ca: ThrowawayCa, put: Install) -> None:
    put(ca.bundle(leaf))
    older = numbers(folder)
    assert put(ca.bundle(leaf)).changes == (folder.crl,)
    assert min(numbers(folder)) > max(older)


def test_a_stale_list_is_warned_of(
    folder: Folder, alice: Files, leaf: x509.Certificate, ca: ThrowawayCa, put: Install
) -> None:
    old = ca.crl_pem(made_at=datetime.now(UTC) - timedelta(days=2), lifetime=timedelta(days=1))
    plan = put(ca.chain_pem(leaf) + ca.ca_pem + old)
    assert any("was due for renewal" in remark for remark in plan.remarks)


def test_another_root_is_refused_with_both_fingerprints(
    folder: Folder, alice: Files, leaf: x509.Certificate, ca: ThrowawayCa, prod: ThrowawayCa, put: Install
) -> None:
    put(ca.bundle(leaf))
    other = prod.bundle(prod.sign(alice.csr.read_bytes()))
    error = refused(folder, lambda: put(other), Distrusted, "other-root")
    assert ca.fingerprint in error.why
    assert prod.fingerprint in error.why


def test_another_root_is_taken_where_its_fingerprint_is_named(
    folder: Folder, alice: Files, leaf: x509.Certificate, ca: ThrowawayCa, prod: ThrowawayCa, put: Install
) -> None:
    put(ca.bundle(leaf))
    put(prod.bundle(prod.sign(alice.csr.read_bytes())), fingerprint=prod.fingerprint)
    assert folder.ca.read_bytes() == prod.ca_pem
    assert {crl.issuer for crl in load_crls(folder.crl.read_bytes(), "crl")} == {
        prod.issuing.certificate.subject,
        prod.root.certificate.subject,
    }


def test_who_is_left_without_a_ca_is_named(
    folder: Folder, subscribe: Subscribe, prod: ThrowawayCa, put: Install
) -> None:
    subscribe("bob")
    files = request(folder, "alice", Role.CLIENT, HostNames()).files
    plan = put(prod.bundle(prod.sign(files.csr.read_bytes())), fingerprint=prod.fingerprint)
    assert any("bob belongs to dev.example.internal" in remark for remark in plan.remarks)


def test_a_root_that_is_not_the_one_named_is_refused(
    folder: Folder, leaf: x509.Certificate, ca: ThrowawayCa, prod: ThrowawayCa, put: Install
) -> None:
    attempt = lambda: put(ca.bundle(leaf), fingerprint=prod.fingerprint)  # noqa: E731
    refused(folder, attempt, Distrusted, "unexpected-root")


def test_a_shortened_fingerprint_is_wrong_usage(
    folder: Folder, leaf: x509.Certificate, ca: ThrowawayCa, put: Install
) -> None:
    before = contents(folder)
    with pytest.raises(WrongUsage):
        put(ca.bundle(leaf), fingerprint=ca.fingerprint[:19])
    assert contents(folder) == before


def test_a_chain_of_two_environments_is_refused(
    folder: Folder, alice: Files, ca: ThrowawayCa, prod: ThrowawayCa, put: Install
) -> None:
    ca.trust_domain = prod.trust_domain
    mixed = ca.bundle(ca.sign(alice.csr.read_bytes()))
    refused(folder, lambda: put(mixed), Distrusted, "foreign-domain")


# The renewal's swap.


@pytest.fixture
def renewal(folder: Folder, subscribe: Subscribe, ca: ThrowawayCa, tmp_path: Path) -> Wish:
    """What installs alice's renewal, signed and fetched."""
    subscribe("alice")
    made = renew(folder, "alice", None, None, datetime.now(UTC))
    bundle = tmp_path / "renewed.pem"
    bundle.write_bytes(ca.bundle(ca.sign(made.files.csr.read_bytes())))
    return Wish(bundle)


def test_a_renewal_swaps_the_pair(folder: Folder, renewal: Wish, ca: ThrowawayCa, now: datetime) -> None:
    files = folder.files("alice")
    new_key = files.new_key.read_bytes()
    plan = install(folder, renewal, now)
    assert plan.ends_renewal
    assert files.key.read_bytes() == new_key
    assert open_folder(folder.path, Role.CLIENT).certificate == ca.issued[-1]
    assert not files.new_key.exists()
    assert not files.new_certificate.exists()
    assert install(folder, renewal, now).changes == ()


def test_a_refused_renewal_leaves_the_old_pair(
    folder: Folder, renewal: Wish, ca: ThrowawayCa, now: datetime
) -> None:
    ca.revoke(ca.issued[-1])
    renewal.source.write_bytes(ca.bundle(ca.issued[-1]))
    refused(folder, lambda: install(folder, renewal, now), Distrusted, "revoked")
    assert open_folder(folder.path, Role.CLIENT).certificate == ca.issued[0]


def test_a_certificate_signed_over_the_old_one_completes_the_renewal(
    folder: Folder, renewal: Wish, ca: ThrowawayCa, now: datetime
) -> None:
    """`ca sign` beside the CSR writes NAME.crt itself, where CA and subscriber are one machine."""
    files = folder.files("alice")
    files.certificate.write_bytes(ca.chain_pem(ca.issued[-1]))
    with pytest.raises(KeysteadError) as error:
        open_folder(folder.path, Role.CLIENT, "alice")
    assert f"keystead install {files.certificate}" in error.value.mend
    install(folder, Wish(files.certificate), now)
    assert open_folder(folder.path, Role.CLIENT).certificate == ca.issued[-1]


class Killed(BaseException):
    """The process ended here."""


def kill_at_rename(monkeypatch: pytest.MonkeyPatch, number: int) -> Callable[[], int]:
    """Let `os.replace` end the process at its ``number``-th call; gives the count of calls."""
    replace = os.replace
    calls = 0

    def counted(*arguments: object, **options: object) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            raise Killed
        replace(*arguments, **options)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(os, "replace", counted)
    return lambda: calls


RENAMES = 4
"""crl.pem, NAME.new.crt, NAME.key, NAME.crt."""


def test_a_renewal_takes_so_many_renames(
    folder: Folder, renewal: Wish, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = kill_at_rename(monkeypatch, 99)
    install(folder, renewal, now)
    assert calls() == RENAMES


@pytest.mark.parametrize("step", range(1, RENAMES + 1))
def test_a_kill_at_any_step_leaves_a_whole_pair(
    folder: Folder, renewal: Wish, ca: ThrowawayCa, now: datetime, step: int
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(Killed):
        kill_at_rename(monkeypatch, step)
        install(folder, renewal, now)
    opened = open_folder(folder.path, Role.CLIENT)
    assert opened.certificate == (ca.issued[-1] if step == RENAMES else ca.issued[0])
    key = load_private_pem(opened.key_pem, "key")
    assert opened.certificate.public_key() == key.public_key()
    assert opened.certificate_path == folder.files("alice").certificate


@pytest.mark.parametrize("step", range(1, RENAMES + 1))
def test_after_a_kill_the_same_command_finishes(
    folder: Folder, renewal: Wish, ca: ThrowawayCa, now: datetime, step: int
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(Killed):
        kill_at_rename(monkeypatch, step)
        install(folder, renewal, now)
    install(folder, renewal, now)
    files = folder.files("alice")
    assert load_certificates(files.certificate.read_bytes(), "crt")[0] == ca.issued[-1]
    assert not files.new_key.exists()
    assert not files.new_certificate.exists()


def test_a_reader_that_may_not_write_sees_the_pair_too(
    folder: Folder, renewal: Wish, ca: ThrowawayCa, now: datetime
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(Killed):
        kill_at_rename(monkeypatch, RENAMES)
        install(folder, renewal, now)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "replace", denied)
        opened = open_folder(folder.path, Role.CLIENT)
    assert opened.certificate == ca.issued[-1]
    assert opened.certificate_path == folder.files("alice").new_certificate


def test_a_reader_that_finishes_first_does_not_disturb_the_install(
    folder: Folder, renewal: Wish, ca: ThrowawayCa, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace
    files = folder.files("alice")

    def read_in_between(old: Path, new: Path) -> None:
        if Path(old) == files.new_certificate:
            monkeypatch.setattr(os, "replace", replace)
            open_folder(folder.path, Role.CLIENT)
        replace(old, new)

    monkeypatch.setattr(os, "replace", read_in_between)
    install(folder, renewal, now)
    assert open_folder(folder.path, Role.CLIENT).certificate == ca.issued[-1]


@pytest.mark.slow
def test_a_reader_never_sees_a_pair_that_does_not_fit(
    folder: Folder, subscribe: Subscribe, ca: ThrowawayCa, tmp_path: Path
) -> None:
    subscribe("alice")
    swapping = Thread(target=_renew_often, args=(folder, ca, tmp_path / "renewed.pem"))
    swapping.start()
    seen = set()
    while swapping.is_alive():
        opened = open_folder(folder.path, Role.CLIENT)
        assert opened.certificate.public_key() == load_private_pem(opened.key_pem, "key").public_key()
        seen.add(opened.certificate.serial_number)
    swapping.join()
    assert open_folder(folder.path, Role.CLIENT).certificate == ca.issued[-1]
    assert len(ca.issued) == 41
    assert len(seen) > 1


def _renew_often(folder: Folder, ca: ThrowawayCa, bundle: Path) -> None:
    for _ in range(40):
        made = renew(folder, "alice", None, None, datetime.now(UTC))
        bundle.write_bytes(ca.bundle(ca.sign(made.files.csr.read_bytes())))
        install(folder, Wish(bundle), datetime.now(UTC))
