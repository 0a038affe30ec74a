"""The reference says what the code does: each page is compared with the values it describes."""

import ast
import re
from dataclasses import fields

import click
import pytest

from docs.generate_commands import PAGE, page
from keystead.cli.commands import cli
from keystead.pki.expiry import parse_lifetime
from keystead.pki.profiles import Profile, parse_profiles
from keystead.subscriber.fileserver.answers import _STATUS
from keystead.subscriber.fileserver.limits import UploadLimits
from keystead.tls.alerts import ALERTS
from keystead.tls.refused import _WITHOUT_FINDING
from keystead.web.limits import Limits
from keystead.web.log import RequestLine
from tests.docs.pages import DOCS, ROOT, rows_of, text_of

REFERENCE = DOCS / "reference"
SOURCE = ROOT / "src" / "keystead"

_UNITS = {"": 1, "s": 1, "day": 86_400, "KiB": 1 << 10, "GiB": 1 << 30}

LIMITS: dict[str, float | None] = {
    "--max-head": Limits().head,
    "--handshake-timeout": Limits().handshake_seconds,
    "--head-timeout": Limits().head_seconds,
    "--stall-timeout": Limits().stall_seconds,
    "--max-connections": Limits().connections,
    "--max-per-address": Limits().connections_per_address,
    "--stop-timeout": Limits().stop_seconds,
    "--max-file": UploadLimits().file,
    "--quota": UploadLimits().quota,
    "--keep-free": UploadLimits().spare,
    "--upload-expiry": UploadLimits().expiry.total_seconds(),
}


def first_cells(name: str) -> set[str]:
    return {code for row in rows_of(REFERENCE / name) for code in row[0].split(", ")}


def number(text: str) -> float | None:
    if text == "none":
        return None
    amount, _, unit = text.replace(",", "").partition(" ")
    return float(amount) * _UNITS[unit]


def test_the_page_of_commands_is_what_the_generator_writes() -> None:
    assert text_of(PAGE) == page(), "run: python docs/generate_commands.py"


def test_the_limits_are_those_of_the_server() -> None:
    told = {
        row[2]: number(row[1])
        for row in rows_of(REFERENCE / "limits.md")
        if row[2:3] != ["option"] and len(row) == 4
    }
    assert told == LIMITS
    assert len(LIMITS) == len(fields(Limits)) + len(fields(UploadLimits))


def test_the_options_of_the_limits_are_those_of_serve() -> None:
    serve = cli.get_command(click.Context(cli), "serve")
    assert serve is not None
    values = serve.make_context("serve", []).params
    defaults = {opt: values[str(parameter.name)] for parameter in serve.params for opt in parameter.opts}
    defaults["--upload-expiry"] = parse_lifetime(defaults["--upload-expiry"]).total_seconds()
    assert {option: defaults[option] for option in LIMITS} == LIMITS


def test_every_rule_of_policy_is_listed() -> None:
    found = {
        call.args[0].value
        for module in ("pki/policy.py", "pki/requestrules.py", "pki/priorrules.py", "ca/authority/batch.py")
        for call in ast.walk(ast.parse(text_of(SOURCE / module)))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "Violation"
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }
    page_text = text_of(REFERENCE / "policy.md")
    assert [code for code in sorted(map(str, found)) if f"`{code}`" not in page_text] == []


def test_every_field_of_a_request_in_the_log_is_listed() -> None:
    assert {field.name for field in fields(RequestLine)} <= first_cells("log.md")


def test_every_code_of_a_refused_handshake_is_listed() -> None:
    reported = set(re.findall(r'_report\(\s*"([a-z-]+)"', text_of(SOURCE / "tls" / "protocol.py")))
    assert reported
    assert reported | {code for code, _ in _WITHOUT_FINDING.values()} <= first_cells("log.md")


def test_every_event_of_the_log_is_listed() -> None:
    events = set(re.findall(r'_write\("([a-z-]+)"', text_of(SOURCE / "web" / "log.py")))
    events |= set(re.findall(r'_log\.event\(\s*"([a-z-]+)"', text_of(SOURCE / "web" / "server.py")))
    assert events
    page_text = text_of(REFERENCE / "log.md")
    assert [event for event in sorted(events) if f"`{event}`" not in page_text] == []


def test_every_variable_of_the_environment_is_listed() -> None:
    read = {
        name
        for module in SOURCE.rglob("*.py")
        for name in re.findall(r'"(KEYSTEAD_[A-Z_]*[A-Z])"', text_of(module))
    }
    assert read == {cell for cell in first_cells("environment.md") if cell.startswith("KEYSTEAD_")}


def test_every_status_of_an_error_is_listed_with_its_code() -> None:
    told = {
        code: int(row[0])
        for row in rows_of(REFERENCE / "http.md")
        if row[0].isdigit()
        for code in re.findall(r"[a-z]+(?:-[a-z]+)*", row[1])
    }
    assert {code: told[code] for code in _STATUS} == dict(_STATUS)


def test_every_alert_is_explained() -> None:
    told = {row[0] for row in rows_of(DOCS / "how-to" / "when-it-fails.md")}
    assert {f"{alert.number} {alert.name}" for alert in ALERTS.values()} <= told


@pytest.mark.parametrize(
    "profile", parse_profiles(text_of(SOURCE / "pki" / "profiles.toml"), "shipped").values()
)
def test_the_shipped_profiles_are_as_listed(profile: Profile) -> None:
    (row,) = [row for row in rows_of(REFERENCE / "profiles.md") if row[0] == profile.name]
    assert row[2] == f"{profile.lifetime.days}d"
    assert row[3] == f"{profile.max_lifetime.days}d"
    assert row[4] == ("any" if profile.dns is None else "none")
    assert row[5] == ("any" if profile.ips is None else "none")
    assert row[6] == ("yes" if profile.wildcards else "no")
    assert row[7] == ("yes" if profile.needs_host else "no")
