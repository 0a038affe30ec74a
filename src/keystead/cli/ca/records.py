"""``keystead ca list`` and ``ca show``: what was issued."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click
from cryptography import x509

from keystead.ca.authority.model import Books
from keystead.ca.authority.revoke import find
from keystead.ca.home import Home, open_books, read_charter
from keystead.ca.inventory.listing import Filter, State, page
from keystead.ca.inventory.rows import Kind, Recorded
from keystead.cli import options
from keystead.cli.ca.group import Place, headline, placed
from keystead.cli.say import fields, next_steps, note, print_json, say, table
from keystead.machine.clock import system_clock
from keystead.pki.certificates import to_pem
from keystead.pki.expiry import in_words, stamp, when
from keystead.pki.fingerprints import Fingerprint

PAGE = 500


@click.command("list")
@placed
@click.option(
    "--state", type=click.Choice([state.value for state in State]), default="all", show_default=True
)
@click.option("--profile", metavar="P", help="Only this profile's.")
@click.option("--name", metavar="NAME", help="Only this NAME's.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many.")
@options.as_json
def list_certificates(
    place: Place, state: str, profile: str | None, name: str | None, limit: int, as_json: bool
) -> None:
    """List what was issued, newest first; the valid ones by what expires first."""
    charter = read_charter(Home(place.home), place.environment)
    now = system_clock()
    wanted = Filter(State(state), profile, name)
    with open_books(charter) as books:
        found, more = _take(books, wanted, now, limit)
    if as_json:
        note(headline(charter))
        print_json([_as_json(record, now) for record in found])
        return
    say(headline(charter))
    if not found:
        say("none that was issued here fits: look at all, without --name, --profile and --state")
        next_steps(("all of them", place.command("list")))
        return
    table(
        ("identity", "serial", "until", "state"),
        [
            (
                _whose(record),
                record.certificate.serial,
                when(record.certificate.not_after),
                _state(record, now),
            )
            for record in found
        ],
    )
    if more:
        note(f"there are more than {limit}: --limit N, or narrow it by --name, --profile, --state")
    next_steps(("one of them in full", place.command("show SERIAL")))


def _take(books: Books, wanted: Filter, now: datetime, limit: int) -> tuple[list[Recorded], bool]:
    found: list[Recorded] = []
    with books.inventory.reading() as tx:
        after = None
        while len(found) <= limit:
            some = page(tx, wanted, now, after=after, limit=min(PAGE, limit + 1))
            found += some.entries
            after = some.following
            if after is None:
                break
    return found[:limit], len(found) > limit


@click.command("show")
@placed
@click.argument("word", metavar="SERIAL|NAME")
@options.as_json
@click.option("--pem", is_flag=True, help="Print the certificates as PEM instead.")
def show(place: Place, word: str, as_json: bool, pem: bool) -> None:
    """Show one certificate, or all that an identity ever had, oldest first."""
    charter = read_charter(Home(place.home), place.environment)
    now = system_clock()
    with open_books(charter) as books:
        found = find(books, word)
    if as_json or pem:
        note(headline(charter))
    else:
        say(headline(charter))
    if as_json:
        print_json([_as_json(record, now) for record in found])
    elif pem:
        click.echo(b"".join(map(_pem, found)), nl=False)
    else:
        for record in found:
            say()
            fields(_details(record, now))
        next_steps(("end one before its time", place.command("revoke SERIAL --reason REASON")))


def _pem(record: Recorded) -> bytes:
    return to_pem(x509.load_der_x509_certificate(record.certificate.der))


def _whose(record: Recorded) -> str:
    certificate = record.certificate
    if certificate.kind is Kind.LEAF:
        return f"{certificate.profile}/{certificate.name}"
    return f"the {certificate.kind} CA" if certificate.kind is Kind.ISSUING else "the root"


def _state(record: Recorded, now: datetime) -> str:
    if record.revocation is not None:
        return f"revoked ({record.revocation.reason})"
    left = record.certificate.not_after - now
    return f"expired {in_words(left)} ago" if left.total_seconds() <= 0 else f"good, {in_words(left)} left"


def _details(record: Recorded, now: datetime) -> Iterator[tuple[str, str]]:
    certificate = record.certificate
    yield "identity", _whose(record)
    yield "serial", certificate.serial
    yield "state", _state(record, now)
    if record.revocation is not None:
        yield "revoked", when(record.revocation.revoked_at)
    yield "hosts", ", ".join(certificate.sans) or "none"
    yield "from", when(certificate.not_before)
    yield "until", when(certificate.not_after)
    yield "issued", when(certificate.issued_at)
    yield "key", str(Fingerprint(bytes.fromhex(certificate.key_fingerprint)))
    yield "fingerprint", str(Fingerprint.of_certificate(x509.load_der_x509_certificate(certificate.der)))
    if certificate.renews is not None:
        yield "renews", certificate.renews


def _as_json(record: Recorded, now: datetime) -> dict[str, Any]:
    certificate, revocation = record.certificate, record.revocation
    return {
        "kind": certificate.kind.value,
        "profile": certificate.profile,
        "name": certificate.name,
        "serial": certificate.serial,
        "hosts": list(certificate.sans),
        "not_before": stamp(certificate.not_before),
        "not_after": stamp(certificate.not_after),
        "issued_at": stamp(certificate.issued_at),
        "key_fingerprint": certificate.key_fingerprint,
        "renews": certificate.renews,
        "state": "revoked" if revocation else "expired" if certificate.not_after <= now else "good",
        "revoked_at": stamp(revocation.revoked_at) if revocation else None,
        "reason": revocation.reason if revocation else None,
    }
