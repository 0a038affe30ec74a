"""``keystead ca init``: makes the CA of an environment, or says what is there."""

from __future__ import annotations

from pathlib import Path

import click

from keystead.ca import configuration
from keystead.ca.authority.model import Charter
from keystead.ca.configuration import Configuration
from keystead.ca.founding import check_sealing, found
from keystead.ca.home import ISSUING, Home, read_charter
from keystead.ca.layout import CONFIGURATION
from keystead.cli import options
from keystead.cli.ca.group import Place, actor, headline, placed, secrets_from
from keystead.cli.say import done, fields, next_steps, say, warn
from keystead.custody.vault import Sealing, sealing_of
from keystead.errors import AlreadyThere, WrongUsage
from keystead.pki.expiry import when
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import EXPERIMENTAL, KEY_TYPES, KeyType, parse_key_type
from keystead.pki.names import TrustDomain, slug

DEFAULT_ORGANIZATION = "keystead"

_SEALINGS = {
    Sealing.PASSPHRASE: "sealed with a passphrase",
    Sealing.IDENTITY: "sealed to an age identity",
    Sealing.NONE: "NOT sealed",
}


@click.command("init")
@placed
@click.option("--org", metavar="O", help="The organization, as certificates name it.  [default: keystead]")
@click.option(
    "--trust-domain", metavar="D", help="What follows ENV in the trust domain.  [default: made of --org]"
)
@click.option("--public-url", metavar="URL", help="Where CRLs will be served (http); certificates name it.")
@click.option("--key-type", metavar="T", help=f"One of {KEY_TYPES}.  [default: p256]")
@click.option("--no-passphrase", is_flag=True, help="Leave the CA keys unsealed: environment dev only.")
@options.passphrase_file
def init(
    place: Place,
    org: str | None,
    trust_domain: str | None,
    public_url: str | None,
    key_type: str | None,
    no_passphrase: bool,
    passphrase_file: Path | None,
) -> None:
    """Make root and issuing CA of an environment, and both revocation lists.

    The keys are sealed with a passphrase (asked for, or --passphrase-file), or to the age identity that
    systemd hands over in $CREDENTIALS_DIRECTORY. Again with the same options: changes nothing.
    """
    home = Home(place.home)
    if (home.folder(place.environment) / CONFIGURATION).exists():
        charter = read_charter(home, place.environment)
        _compare(charter, org, trust_domain, public_url, key_type, unsealed=no_passphrase)
        say(headline(charter))
        say("It was made before; nothing is changed.")
        _describe(charter)
        _what_next(place, charter)
        return
    check_sealing(place.environment, sealed=not no_passphrase)
    config = _configuration(place.environment, org, trust_domain, public_url, key_type)
    secrets = None if no_passphrase else secrets_from(passphrase_file)
    warning = found(home, config, secrets, actor=actor())
    charter = read_charter(home, place.environment)
    say(headline(charter))
    done(f"root and issuing CA of {config.trust_domain} are made, with both revocation lists")
    _describe(charter)
    if warning:
        warn(warning)
    if config.key_type.is_experimental:
        warn(f"{EXPERIMENTAL}: for trials, with keystead on every side")
    if no_passphrase:
        warn(f"the CA keys lie UNSEALED in {charter.folder}: for tests on this machine, never for more")
    _what_next(place, charter)


def _configuration(
    environment: str, org: str | None, trust_domain: str | None, public_url: str | None, key_type: str | None
) -> Configuration:
    if org is None and environment == "prod":
        raise WrongUsage(
            "the environment prod needs the name of its organization",
            why="it stands in every certificate, and cannot be changed later",
            mend="give it: keystead ca init --env prod --org ORG",
        )
    organization = configuration.check_organization(DEFAULT_ORGANIZATION if org is None else org, environment)
    return Configuration(
        organization=organization,
        trust_domain=TrustDomain.of(environment, trust_domain or f"{slug(organization)}.internal"),
        key_type=parse_key_type(key_type or KeyType.P256),
        public_url=None if public_url is None else configuration.check_public_url(public_url),
        profiles=configuration.shipped_profiles(),
    )


def _compare(
    charter: Charter,
    org: str | None,
    trust_domain: str | None,
    public_url: str | None,
    key_type: str | None,
    *,
    unsealed: bool,
) -> None:
    config = charter.configuration
    sealed = _sealing(charter) is not Sealing.NONE
    differences = [
        f"{option} is {there!r}, and {given!r} is asked for"
        for option, given, there in (
            ("--org", org, config.organization),
            ("--trust-domain", trust_domain, config.trust_domain.value.partition(".")[2]),
            ("--public-url", public_url and public_url.rstrip("/"), config.public_url),
            ("--key-type", key_type and parse_key_type(key_type).value, config.key_type.value),
        )
        if given is not None and given != there
    ]
    if unsealed and sealed:
        differences.append("its keys are sealed, and --no-passphrase is asked for")
    if differences:
        raise AlreadyThere(
            f"the environment {charter.environment!r} exists, and is not what is asked for",
            why="; ".join(differences),
            mend=f"use it as it is, or make another: --env ENV (it lies in {charter.folder})",
            code="other-options",
        )


def _sealing(charter: Charter) -> Sealing:
    return sealing_of(charter.folder, ISSUING)


def _describe(charter: Charter) -> None:
    config = charter.configuration
    fields(
        [
            ("organization", config.organization),
            ("trust domain", config.trust_domain.value),
            ("root", f"until {when(charter.root.not_valid_after_utc)}"),
            ("issuing CA", f"until {when(charter.issuing.not_valid_after_utc)}"),
            ("keys", f"{config.key_type}, {_SEALINGS[_sealing(charter)]}"),
            ("lies in", str(charter.folder)),
        ]
    )


def _what_next(place: Place, charter: Charter) -> None:
    say()
    say(f"Root fingerprint, to be read aloud: {Fingerprint.of_certificate(charter.root)}")
    say(f"Hand out: {charter.folder / 'ca.crt'} (what everybody trusts; `ca sign` sends it along).")
    say(f"The key files in {charter.folder} are the one thing that must not leak, nor be lost.")
    say(f"Back up, at any time: {place.command('backup')}   (all of it, in one sealed file)")
    next_steps(
        ("on a subscriber's machine", "keystead csr NAME"),
        ("here, with the NAME.csr that arrives", place.command("sign NAME.csr")),
    )
