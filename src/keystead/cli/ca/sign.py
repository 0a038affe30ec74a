"""``keystead ca sign``: checks CSRs, signs them, records them, hands out certificates."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import click

from keystead.ca import inbox
from keystead.ca.authority import batch
from keystead.ca.authority.bench import Bench, LocalBench, forked_bench
from keystead.ca.authority.decide import Granted
from keystead.ca.authority.model import Arrival, Authority, Charter, Outcome, Rejected, Repeated, Signed
from keystead.ca.authority.publish import is_cut_short, publish
from keystead.ca.authority.submit import asked_profile, examine
from keystead.ca.founding import UNSEALED_ENVIRONMENT
from keystead.ca.handout import Clerk, ForkedClerk, LocalClerk, check_place
from keystead.ca.home import Home, open_authority, open_issuer, read_charter
from keystead.cli import options
from keystead.cli.ca.group import Place, actor, headline, placed, secrets_from
from keystead.cli.ca.report import Report
from keystead.cli.say import fields, say, warn
from keystead.errors import KeysteadError, Refused, Violation, WrongUsage
from keystead.machine.folders import make_private_folder
from keystead.machine.forks import forked
from keystead.machine.secrets import Secrets
from keystead.pki.csr import CertificateRequest
from keystead.pki.expiry import parse_lifetime, spell_lifetime
from keystead.pki.facts import Wishes
from keystead.pki.issuance import Issuer
from keystead.pki.keys import describe
from keystead.pki.names import HostNames, check_name, check_profile
from keystead.pki.profiles import purposes_in_words

MANY = 200
"""From this many CSRs on, worker processes share the work; below, starting them costs more."""


@click.command("sign")
@placed
@click.argument(
    "csrs", metavar="CSR|FOLDER...", nargs=-1, required=True, type=click.Path(readable=False, path_type=Path)
)
@click.option("--profile", metavar="P", help="client, server, operator, or one of ca.toml.")
@click.option("--name", metavar="NAME", help="The NAME to certify, where it is not the CSR's CN.")
@click.option(
    "--san", "sans", metavar="S", multiple=True, help="A host to cover; those named here alone count."
)
@click.option("--lifetime", metavar="SPAN", help="Such as 30d, 12h, 90s.  [default: the profile's]")
@click.option("--expect", metavar="FP", help="Sign only a key with this fingerprint, as it was read to you.")
@click.option("--reissue", is_flag=True, help="Let a live key have another certificate, with other wishes.")
@click.option("--replace", "may_replace", is_flag=True, help="Let another key take over; the old is revoked.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    help="Hand out into this folder.",
)
@options.passphrase_file
def sign(
    place: Place,
    csrs: tuple[Path, ...],
    profile: str | None,
    name: str | None,
    sans: tuple[str, ...],
    lifetime: str | None,
    expect: str | None,
    reissue: bool,
    may_replace: bool,
    out: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Check CSRs against policy, sign, record, and hand out certificates.

    Good ones are signed and bad ones listed, with exit code 1. Beside each CSR, or into --out, lie then
    NAME.crt, ca.crt, crl.pem, and all of them in one NAME.pem: the one file to send back.
    """
    wishes = Wishes(
        profile=profile and check_profile(profile),
        name=name and check_name(name),
        host_names=HostNames.of(sans).with_local_trio() if sans else None,
        lifetime=parse_lifetime(lifetime) if lifetime else None,
        expect=expect,
        may_reissue=reissue,
        may_replace=may_replace,
    )
    paths = inbox.find(csrs)
    if len(paths) > 1 and (name or sans or expect):
        raise WrongUsage(
            f"--name, --san and --expect are for one CSR, and these are {len(paths)}",
            mend="sign that one alone",
        )
    charter = read_charter(Home(place.home), place.environment)
    say(headline(charter))
    if expect is None and len(paths) == 1 and charter.environment != UNSEALED_ENVIRONMENT:
        warn("the key's fingerprint is not compared: have it read to you, and demand it with --expect FP")
    folders = {str(path): out or path.parent for path in paths}
    for folder in set(folders.values()):
        check_place(charter, folder)
    arrivals = inbox.read(paths, wishes)
    staff = _forked_staff if len(paths) >= MANY else _staff
    with staff(place, charter, secrets_from(passphrase_file), LocalClerk(charter, folders)) as (
        authority,
        bench,
        issuer,
        clerk,
    ):
        if len(paths) == 1 and sys.stdin.isatty():
            groups = _confirmed(authority, bench, *arrivals)
        else:
            groups = batch.sign(authority, bench, arrivals)
        if out is not None:
            make_private_folder(out)
        report = Report(place, clerk, total=len(paths))
        status = report.tell(_telling_the_world(authority, issuer, groups))
    click.get_current_context().exit(status)


Staff = tuple[Authority, Bench, Callable[[], Issuer], Clerk]
"""The authority, a bench for it, what opens the key (at most once), and who hands out."""


@contextmanager
def _staff(place: Place, charter: Charter, secrets: Secrets, clerk: LocalClerk) -> Iterator[Staff]:
    """All in this process."""
    issuer = cache(lambda: open_issuer(charter, secrets))
    with open_authority(Home(place.home), charter, actor=actor()) as authority:
        yield authority, LocalBench(charter.configuration.granted, issuer), issuer, clerk


@contextmanager
def _forked_staff(place: Place, charter: Charter, secrets: Secrets, clerk: LocalClerk) -> Iterator[Staff]:
    """Each in processes of their own: forked before a database opens, and the clerk before the key does."""
    workers = os.cpu_count() or 1
    with ExitStack() as stack:
        (writer,) = stack.enter_context(forked(clerk))
        issuer = open_issuer(charter, secrets)
        bench = stack.enter_context(forked_bench(charter.configuration.granted, issuer, workers))
        authority = stack.enter_context(open_authority(Home(place.home), charter, actor=actor()))
        yield authority, bench, lambda: issuer, ForkedClerk(writer)


def _telling_the_world(
    authority: Authority, issuer: Callable[[], Issuer], groups: Iterable[list[Outcome]]
) -> Iterator[list[Outcome]]:
    """The groups as they come; what was revoked for them stands in the CRL before they are handed out.

    What comes again may have been signed by a run that was cut short before it had published.
    """
    has_looked = False
    for group in groups:
        has_replaced = any(isinstance(outcome, Signed) and outcome.replaced for outcome in group)
        comes_again = any(isinstance(outcome, Repeated) for outcome in group)
        if has_replaced or (comes_again and not has_looked and is_cut_short(authority)):
            publish(authority, [issuer()])
        has_looked |= comes_again
        yield group


def _confirmed(authority: Authority, bench: Bench, arrival: Arrival) -> Iterator[list[Outcome]]:
    """Sign one CSR once a person has seen what it asks for; without --profile, the one that it asks for."""
    submission = arrival
    try:
        if isinstance(submission, Rejected):
            raise submission.error
        request = examine(submission.data, submission.source)
    except KeysteadError:
        yield from batch.sign(authority, bench, [arrival])  # nothing to show: it is refused and recorded
        return
    if submission.wishes.profile is None and request.proof is None:
        submission = replace(submission, wishes=replace(submission.wishes, profile=asked_profile(request)))
    run = batch.Run(authority, bench)
    (verdict,) = batch.judge(run, batch.examine(run, [(0, submission)]))()
    if isinstance(verdict, Granted):
        _show(request, verdict)
        if not click.confirm("Sign it?"):
            declined = Refused(
                f"{verdict.identity} is not signed",
                [Violation("declined", "whoever was asked at the terminal said no", "")],
            )
            verdict = Rejected(submission.source, declined)
    yield batch.settle(run, [verdict])()


def _show(request: CertificateRequest, granted: Granted) -> None:
    approved = granted.grant
    fields(
        [
            ("identity", f"{granted.identity}  ({granted.identity.uri})"),
            ("asks for", purposes_in_words(request.purposes)),
            ("hosts", str(approved.host_names)),
            ("lifetime", spell_lifetime(approved.lifetime)),
            ("key", f"{describe(request.public_key)}, fingerprint {request.key_fingerprint}"),
            *((("left out", ", ".join(approved.left_out)),) if approved.left_out else ()),
            *((("renews", approved.renews),) if approved.renews else ()),
            *((("REPLACES", f"{approved.replaces}, which is revoked at once"),) if approved.replaces else ()),
        ]
    )
