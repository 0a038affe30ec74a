"""Alerts in words: each that TLS 1.3 has, and the ones that hang on one's own files."""

from __future__ import annotations

import dataclasses
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keystead.errors import KeysteadError
from keystead.tls.alerts import ALERTS, Attempt, alert_of, explain_alert
from keystead.tls.client import ClientCredentials
from tests.tls.folders import credentials
from tests.tls.throwaway import Environment, Pair, now

RFC_8446 = {
    "close_notify": 0,
    "unexpected_message": 10,
    "bad_record_mac": 20,
    "record_overflow": 22,
    "handshake_failure": 40,
    "bad_certificate": 42,
    "unsupported_certificate": 43,
    "certificate_revoked": 44,
    "certificate_expired": 45,
    "certificate_unknown": 46,
    "illegal_parameter": 47,
    "unknown_ca": 48,
    "access_denied": 49,
    "decode_error": 50,
    "decrypt_error": 51,
    "protocol_version": 70,
    "insufficient_security": 71,
    "internal_error": 80,
    "inappropriate_fallback": 86,
    "user_canceled": 90,
    "missing_extension": 109,
    "unsupported_extension": 110,
    "unrecognized_name": 112,
    "bad_certificate_status_response": 113,
    "unknown_psk_identity": 115,
    "certificate_required": 116,
    "no_application_protocol": 120,
}


@pytest.fixture
def own(tmp_path: Path, dev: Environment, alice: Pair) -> ClientCredentials:
    return credentials(tmp_path, dev, alice, dev.crls())


def told(name: str, own: ClientCredentials | None, moment: datetime | None = None) -> KeysteadError:
    return explain_alert(ALERTS[name], Attempt("db.example.org", 8443, own, moment or now()))


def test_the_table_has_every_alert_of_rfc_8446() -> None:
    assert {alert.name: alert.number for alert in ALERTS.values()} == RFC_8446


@pytest.mark.parametrize("name", RFC_8446)
def test_every_alert_says_what_why_and_how_to_mend_it(name: str, own: ClientCredentials) -> None:
    for credentials_ in (own, None):
        error = told(name, credentials_)
        assert error.what.startswith("the server db.example.org:8443 refused ")
        assert f"(TLS alert {RFC_8446[name]}, {name})" in error.why
        assert error.mend


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", "certificate_revoked"),
        ("TLSV1_ALERT_UNKNOWN_CA", "unknown_ca"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "certificate_required"),
        ("TLSV1_UNRECOGNIZED_NAME", "unrecognized_name"),
        ("TLSV1_ALERT_USER_CANCELLED", "user_canceled"),
        ("TLS_ALERT_CERTIFICATE_REVOKED", "certificate_revoked"),
        ("WRONG_VERSION_NUMBER", None),
        ("UNEXPECTED_EOF_WHILE_READING", None),
    ],
)
def test_openssls_reasons_are_recognised(reason: str, name: str | None) -> None:
    error = ssl.SSLError(1, f"[SSL: {reason}] …")
    error.reason = reason
    alert = alert_of(error)
    assert (alert.name if alert is not None else None) == name


@pytest.mark.parametrize("text", ["tlsv1 alert no application protocol", "ssl/tls alert certificate revoked"])
def test_a_reason_that_python_has_no_name_for_is_read_from_the_sentence(text: str) -> None:
    assert alert_of(ssl.SSLError(1, f"[SSL] {text} (_ssl.c:1006)")) is not None


def test_an_expired_certificate_is_named_with_its_date(own: ClientCredentials) -> None:
    later = own.leaf.not_valid_after_utc + timedelta(days=1)
    error = told("certificate_expired", own, later)
    assert error.code == "expired"
    assert (
        f"{own.certificate_path} ended on {own.leaf.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC" in error.why
    )
    assert "keystead csr alice --dir " in error.mend
    assert "--renew" not in error.mend  # which refuses what has expired


def test_expired_although_one_is_not_means_the_servers_list_is_stale(own: ClientCredentials) -> None:
    error = told("certificate_expired", own)
    assert error.code == "crl-stale"
    assert "revocation list is out of date" in error.why
    assert "crl.pem" in error.mend


def test_a_revocation_that_ones_own_list_tells_of_is_named_with_date_and_reason(
    own: ClientCredentials, dev: Environment, alice: Pair
) -> None:
    made = datetime(2026, 3, 1, 12, tzinfo=UTC)
    knowing = dataclasses.replace(own, crls=dev.crls(alice, made=made))
    error = told("certificate_revoked", knowing)
    assert error.code == "revoked"
    assert "revoked on 2026-03-01 12:00:00 UTC, keyCompromise" in error.why
    assert alice.serial in error.why


def test_a_revocation_that_is_news_here_names_the_certificates_file_and_serial(
    own: ClientCredentials, alice: Pair
) -> None:
    error = told("certificate_revoked", own)
    assert str(own.certificate_path) in error.why
    assert alice.serial in error.why


def test_a_certificate_of_tomorrow_is_named_with_its_date(own: ClientCredentials) -> None:
    error = told("bad_certificate", own, own.leaf.not_valid_before_utc - timedelta(hours=1))
    assert error.code == "not-yet-valid"


def test_an_unknown_ca_names_ones_own_environment(own: ClientCredentials) -> None:
    error = told("unknown_ca", own)
    assert error.code == "unknown-ca"
    assert "dev.example.internal" in error.why


def test_whoever_has_no_certificate_is_told_to_make_one() -> None:
    error = told("certificate_required", None)
    assert error.what == "the server db.example.org:8443 refused a client without a certificate"
    assert "keystead csr" in error.mend
