"""``keystead ca revoke`` and ``ca crl``: ends a certificate, and tells the world."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from cryptography import x509

from keystead.ca.authority.model import Authority, Charter
from keystead.ca.authority.publish import PublishedCrl, publish
from keystead.ca.authority.revoke import Revoked, by_certificate, find
from keystead.ca.authority.revoke import revoke as end
from keystead.ca.authority.unrecorded import Unrecorded, is_unrecorded, revoke_unrecorded
from keystead.ca.home import Home, open_authority, open_both, open_issuer, read_charter
from keystead.ca.inventory.rows import Recorded
from keystead.cli import options
from keystead.cli.ca.group import Place, actor, headline, placed, secrets_from
from keystead.cli.say import done, fail, fields, next_steps, note, say, warn
from keystead.errors import KeysteadError, WrongUsage
from keystead.machine.clock import system_clock
from keystead.machine.files import PUBLIC, read_bounded, write_atomic
from keystead.pki.certificates import MAX_CERTIFICATE_OCTETS, common_name, load_certificate
from keystead.pki.expiry import in_words
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.revocation import MAX_CRL_OCTETS, REASONS, crl_number, next_update, parse_reason

_SUFFIXES = frozenset({".crt", ".pem", ".cer", ".der"})
_PLACES = ("/", "./", "../")
"""What is a FILE; a NAME is never taken for one, whatever lies in the folder, and client/alice is one."""


@click.command("revoke")
@placed
@click.argument("word", metavar="NAME|SERIAL|FILE")
@click.option("--reason", metavar="R", help=f"One of {', '.join(REASONS)}.  [required]")
@options.passphrase_file
def revoke(place: Place, word: str, reason: str | None, passphrase_file: Path | None) -> None:
    """End certificates before their time, and publish the list that says so.

    A NAME ends all of its certificates that are good; a SERIAL or certificate FILE that one. FILE is what
    ends in .crt, .pem, .cer or .der, or begins with ./ or /. keyCompromise ends all of the key, and what was
    renewed from it, and bars the key for ever. It is recorded even where the CA key is not at hand: the list
    follows with `ca crl`.
    """
    if reason is None:
        raise WrongUsage(
            "a revocation needs its reason",
            why="it stands in the revocation list, and keyCompromise ends more than the certificate",
            mend=f"add --reason R, R being one of {', '.join(REASONS)}",
        )
    why = parse_reason(reason)
    charter = read_charter(Home(place.home), place.environment)
    say(headline(charter))
    with open_authority(Home(place.home), charter, actor=actor()) as authority:
        certificate = _in_file(word)
        if certificate is not None and is_unrecorded(authority, certificate):
            _tell_unrecorded(revoke_unrecorded(authority, certificate, why), why)
        else:
            _tell(end(authority, _targets(authority, word, certificate), why), why)
        try:
            (published,) = publish(authority, [open_issuer(charter, secrets_from(passphrase_file))])
        except KeysteadError as error:
            fail(error)
            warn("the revocation is recorded, but the list does not show it yet: nobody refuses it so far")
            next_steps(("here, with the key at hand", place.command("crl")))
            click.get_current_context().exit(1)
    _tell_crl(charter, published)
    next_steps(
        (
            "tell every server",
            f"scp {shlex.quote(str(charter.crl_path))} SERVER:certs/crl.pem   (in force within a second)",
        )
    )


def _in_file(word: str) -> x509.Certificate | None:
    """The certificate in the file that ``word`` names; None where it names none."""
    path = Path(word)
    if word.startswith(_PLACES) or (path.suffix in _SUFFIXES and path.is_file()):
        return load_certificate(read_bounded(path, MAX_CERTIFICATE_OCTETS), word)
    return None


def _targets(authority: Authority, word: str, certificate: x509.Certificate | None) -> tuple[Recorded, ...]:
    if certificate is not None:
        return (by_certificate(authority, certificate),)
    found = find(authority, word)
    now = system_clock()
    good = tuple(
        record for record in found if record.revocation is None and record.certificate.not_after > now
    )
    return good or found[-1:]


def _tell(revoked: Revoked, reason: str) -> None:
    for record in revoked.ended:
        certificate = record.certificate
        done(f"{certificate.profile}/{certificate.name} {certificate.serial} is revoked ({reason})")
    for record in revoked.before:
        assert record.revocation is not None
        note(f"  {record.certificate.serial} was revoked before ({record.revocation.reason})")
    for key in revoked.barred:
        fingerprint = Fingerprint(bytes.fromhex(key))
        done(f"the key {fingerprint} is barred for ever, in every environment of this machine")


def _tell_unrecorded(revoked: Unrecorded, reason: str) -> None:
    if revoked.is_new:
        done(f"{revoked.serial} is revoked ({reason})")
        warn("this CA signed it and has no record of it: it is younger than the backup that was restored")
    else:
        note(f"  {revoked.serial} was revoked before")
    if revoked.barred is not None:
        fingerprint = Fingerprint(bytes.fromhex(revoked.barred))
        done(f"the key {fingerprint} is barred for ever, in every environment of this machine")


@click.command("crl")
@placed
@click.option(
    "--out", type=click.Path(dir_okay=False, readable=False, path_type=Path), help="Write a copy there."
)
@click.option("--issuing-only", is_flag=True, help="Leave the root's list as it is; its key is not opened.")
@options.passphrase_file
def crl(place: Place, out: Path | None, issuing_only: bool, passphrase_file: Path | None) -> None:
    """Make fresh revocation lists, the issuing CA's and the root's, in one crl.pem."""
    charter = read_charter(Home(place.home), place.environment)
    say(headline(charter))
    secrets = secrets_from(passphrase_file)
    with open_authority(Home(place.home), charter, actor=actor()) as authority:
        issuers = [open_issuer(charter, secrets)] if issuing_only else open_both(charter, secrets)
        for published in publish(authority, issuers):
            _tell_crl(charter, published)
    if out is not None:
        write_atomic(out, read_bounded(charter.crl_path, MAX_CRL_OCTETS), PUBLIC)
        done(f"copied to {out}")
    next_steps(
        (
            "take it to every server",
            f"scp {shlex.quote(str(out or charter.crl_path))} SERVER:certs/crl.pem   (in force in a second)",
        )
    )


def _tell_crl(charter: Charter, published: PublishedCrl) -> None:
    due = next_update(published.crl)
    issuer = charter.root if published.crl.issuer == charter.root.subject else charter.issuing
    done(f"revocation list of {common_name(issuer)!r}")
    fields(
        [
            ("number", str(crl_number(published.crl))),
            ("revoked", str(published.entries)),
            ("good for", in_words(due - system_clock())),
            ("lies in", str(charter.crl_path)),
        ]
    )
