"""Broken subscribers' folders: each is the good one with one thing broken.

Doctor names it, the mend is typed as it stands, and doctor is then silent.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.pki.certificates import load_certificates, to_pem
from keystead.pki.keys import load_private_pem
from keystead.pki.revocation import crl_number, crl_to_pem, issuer_key, load_crls
from keystead.tls.crlfile import CrlFile
from tests.subscriber.throwaway_ca import ThrowawayCa
from tests.watch.doctor.practice import Practice, codes


def openssl(practice: Practice, line: str) -> None:
    practice.type_in(practice.here, f"openssl {line}")


def both_lists(path: Path) -> list[bytes]:
    return [crl_to_pem(crl) for crl in load_crls(path.read_bytes(), "crl.pem")]


def later(days: float) -> time_machine.travel:
    return time_machine.travel(datetime.now(UTC) + timedelta(days=days), tick=True)


def another_root() -> bytes:
    return ThrowawayCa("test").ca_pem


def test_a_good_folder_is_left_in_peace(practice: Practice) -> None:
    assert practice.examine() == ()


def test_a_folder_that_others_can_write_to(practice: Practice) -> None:
    practice.certs.chmod(0o777)
    practice.healed("folder-open")


def test_a_key_that_others_can_read(practice: Practice) -> None:
    (practice.certs / "alice.key").chmod(0o644)
    practice.healed("key-open")


def test_an_anchor_that_others_can_exchange(practice: Practice) -> None:
    (practice.certs / "ca.crt").chmod(0o666)
    practice.healed("trust-open")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_that_another_account_copied_here(practice: Practice) -> None:
    os.chown(practice.certs / "alice.key", 12345, 12345)
    practice.healed("other-owner")


def test_a_gitignore_that_lets_the_key_through(practice: Practice) -> None:
    (practice.certs / ".gitignore").write_text("*.crt\n")
    practice.healed("key-in-git")


def test_no_gitignore_at_all(practice: Practice) -> None:
    (practice.certs / ".gitignore").unlink()
    practice.healed("key-in-git")


def test_an_anchor_in_der(practice: Practice) -> None:
    openssl(practice, "x509 -in certs/ca.crt -outform DER -out ca.der")
    shutil.move(practice.here / "ca.der", practice.certs / "ca.crt")
    practice.healed("certificate-der")


def test_a_key_in_der(practice: Practice) -> None:
    openssl(practice, "pkey -in certs/alice.key -outform DER -out key.der")
    (practice.certs / "alice.key").write_bytes((practice.here / "key.der").read_bytes())
    practice.healed("key-der")


@pytest.mark.parametrize("name", ["alice.crt", "ca.crt", "crl.pem", "alice.key"])
def test_windows_line_ends(practice: Practice, name: str) -> None:
    path = practice.certs / name
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    practice.healed("windows-lines")


@pytest.mark.parametrize("name", ["alice.crt", "ca.crt", "crl.pem", "alice.key"])
def test_a_byte_order_mark(practice: Practice, name: str) -> None:
    path = practice.certs / name
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    practice.healed("byte-order-mark")


def test_a_certificate_that_powershell_wrote(practice: Practice) -> None:
    path = practice.certs / "alice.crt"
    path.write_bytes(path.read_text().encode("utf-16"))
    practice.healed("wide-text")


def test_a_key_that_is_encrypted(practice: Practice) -> None:
    openssl(practice, "pkey -in certs/alice.key -aes256 -passout pass:secret -out sealed")
    (practice.certs / "alice.key").write_bytes((practice.here / "sealed").read_bytes())
    practice.healed("key-encrypted")


def test_a_key_in_the_certificate_s_file(practice: Practice) -> None:
    path = practice.certs / "alice.crt"
    path.write_bytes(path.read_bytes() + (practice.certs / "alice.key").read_bytes())
    practice.healed("key-in-public-file")


def test_an_export_that_others_can_read(practice: Practice) -> None:
    both = (practice.certs / "alice.crt").read_bytes() + (practice.certs / "alice.key").read_bytes()
    (practice.certs / "haproxy.pem").write_bytes(both)
    (practice.certs / "haproxy.pem").chmod(0o644)
    practice.healed("export-open")


def test_a_folder_that_was_copied_without_its_key(practice: Practice) -> None:
    (practice.certs / "alice.key").unlink()
    practice.healed("key-missing")


def test_a_key_that_is_damaged(practice: Practice) -> None:
    (practice.certs / "alice.key").write_text(
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    )
    practice.healed("key-unreadable")


def test_a_key_that_is_too_weak(practice: Practice) -> None:
    openssl(practice, "genrsa -out weak.key 1024")
    (practice.certs / "alice.key").write_bytes((practice.here / "weak.key").read_bytes())
    findings = practice.examine()
    assert codes(findings) == ["key-weak", "key-mismatch"]
    practice.heal(findings[0])
    assert practice.examine() == ()


def test_a_file_that_leads_nowhere(practice: Practice) -> None:
    (practice.certs / "bob.crt").symlink_to("nowhere")
    assert codes(practice.examine()) == ["folder-unreadable"]
    (practice.certs / "bob.crt").unlink()
    assert practice.examine() == ()


@pytest.mark.parametrize("options", ["", "--profile server --san localhost"])
def test_a_csr_that_was_never_sent(practice: Practice, options: str) -> None:
    practice.type_in(practice.here, f"keystead csr bob {options} --dir certs")
    practice.healed("certificate-missing")


def test_a_certificate_that_is_damaged(practice: Practice) -> None:
    (practice.certs / "alice.crt").write_text("<html>404</html>")
    practice.healed("certificate-unreadable")


def test_the_certificate_of_another_key(practice: Practice) -> None:
    practice.subscribe("bob")
    shutil.copy(practice.certs / "bob.crt", practice.certs / "alice.crt")
    practice.healed("key-mismatch")


def test_certificates_in_the_wrong_order(practice: Practice) -> None:
    path = practice.certs / "alice.crt"
    path.write_bytes(to_pem(*reversed(load_certificates(path.read_bytes(), "alice.crt"))))
    practice.healed("chain-order")


def test_a_missing_intermediate(practice: Practice) -> None:
    path = practice.certs / "alice.crt"
    path.write_bytes(to_pem(load_certificates(path.read_bytes(), "alice.crt")[0]))
    practice.healed("chain-incomplete")


def test_an_expired_certificate(practice: Practice) -> None:
    with later(40):
        practice.healed("certificate-expired")


def test_a_certificate_that_ends_soon(practice: Practice) -> None:
    with later(25):
        practice.healed("certificate-ends-soon")


def test_a_certificate_that_is_good_for_nothing(practice: Practice) -> None:
    path = practice.certs / "alice.crt"
    leaf, issuing = load_certificates(path.read_bytes(), "alice.crt")
    builder = (
        x509.CertificateBuilder()
        .subject_name(leaf.subject)
        .issuer_name(leaf.issuer)
        .public_key(leaf.public_key())
        .serial_number(leaf.serial_number)
        .not_valid_before(leaf.not_valid_before_utc)
        .not_valid_after(leaf.not_valid_after_utc)
    )
    for extension in leaf.extensions:
        if not isinstance(extension.value, x509.ExtendedKeyUsage):
            builder = builder.add_extension(extension.value, extension.critical)
    key = load_private_pem((practice.home / "dev/issuing.key").read_bytes(), "issuing.key")
    path.write_bytes(to_pem(builder.sign(key, SHA256()), issuing))
    practice.healed("certificate-without-purpose")


def test_a_renewal_that_was_never_finished(practice: Practice) -> None:
    practice.type_in(practice.here, "keystead csr alice --renew --dir certs")
    practice.healed("renewal-unfinished")


def test_a_server_whose_certificate_is_for_another_host(practice: Practice) -> None:
    practice.subscribe("web", "server", "--san web.example.org")
    practice.healed("server-not-this-host")


def test_an_anchor_that_is_missing(practice: Practice) -> None:
    (practice.certs / "ca.crt").unlink()
    practice.healed("anchor-missing")


def test_an_anchor_that_is_damaged(practice: Practice) -> None:
    (practice.certs / "ca.crt").write_text("garbage")
    practice.healed("anchor-unreadable")


def test_an_anchor_of_another_environment(practice: Practice) -> None:
    (practice.certs / "ca.crt").write_bytes(another_root())
    practice.healed("anchor-of-another-environment")


def test_another_environment_s_anchor_that_somebody_added(practice: Practice) -> None:
    path = practice.certs / "ca.crt"
    path.write_bytes(another_root() + path.read_bytes())
    practice.healed("foreign-anchor-added")


def test_more_anchors_than_are_needed(practice: Practice) -> None:
    path = practice.certs / "ca.crt"
    path.write_bytes(path.read_bytes() + ThrowawayCa("dev").ca_pem)
    practice.healed("several-anchors")


def test_no_revocation_list(practice: Practice) -> None:
    (practice.certs / "crl.pem").unlink()
    practice.healed("crl-missing")


def test_a_revocation_list_that_is_damaged(practice: Practice) -> None:
    (practice.certs / "crl.pem").write_text("garbage")
    practice.healed("crl-unreadable")


def test_a_revocation_list_in_der(practice: Practice) -> None:
    openssl(practice, "crl -in certs/crl.pem -outform DER -out crl.der")
    (practice.certs / "crl.pem").write_bytes((practice.here / "crl.der").read_bytes())
    findings = practice.examine()
    assert codes(findings) == ["crl-der", "crl-incomplete"]
    practice.heal(findings[0])
    assert practice.examine() == ()


def test_the_root_s_list_alone(practice: Practice) -> None:
    path = practice.certs / "crl.pem"
    lists = both_lists(path)
    for kept in lists:
        path.write_bytes(kept)
        assert codes(practice.examine()) == ["crl-incomplete"]
    practice.healed("crl-incomplete")


def test_a_list_that_somebody_else_signed(practice: Practice) -> None:
    path = practice.certs / "crl.pem"
    first, second = load_crls(path.read_bytes(), "crl.pem")
    der = bytearray(first.public_bytes(Encoding.DER))
    der[-1] ^= 1
    path.write_bytes(crl_to_pem(x509.load_der_x509_crl(bytes(der)), second))
    practice.healed("crl-forged")


def test_a_revocation_list_that_is_out_of_date(practice: Practice) -> None:
    with later(92):
        findings = practice.examine()
        assert codes(findings) == ["certificate-expired", "crl-stale"]
        for finding in reversed(findings):
            practice.heal(finding)
        assert practice.examine() == ()


def test_a_revocation_list_that_ends_soon(practice: Practice) -> None:
    with later(80):
        findings = practice.examine()
        assert codes(findings) == ["certificate-expired", "crl-stale-soon"]
        for finding in reversed(findings):
            practice.heal(finding)
        assert practice.examine() == ()


def test_a_revocation_list_from_before_the_last_one(practice: Practice) -> None:
    path = practice.certs / "crl.pem"
    crl = load_crls(path.read_bytes(), "crl.pem")[0]
    CrlFile(path).remember({issuer_key(crl): crl_number(crl) + 1})
    practice.healed("crl-rolled-back")


def test_a_revoked_certificate(practice: Practice) -> None:
    practice.type_in(practice.office, "keystead ca revoke alice --reason superseded")
    practice.type_in(practice.office, "keystead ca crl --out crl.pem")
    shutil.copy(practice.office / "crl.pem", practice.certs / "crl.pem")
    practice.healed("certificate-revoked")


def test_a_clock_that_stands_a_year_behind(practice: Practice) -> None:
    with later(-365):
        found = codes(practice.examine())
    assert set(found) == {"certificate-not-yet-valid", "crl-from-the-future"}
    assert practice.examine() == ()
